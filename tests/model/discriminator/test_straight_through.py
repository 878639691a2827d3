import pytest
import torch

from aurl.model.discriminator import straight_through


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_logits(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_forward_is_exactly_one_hot(dtype):
    one_hots = straight_through(random_logits(3, 50, 779).to(dtype))
    assert one_hots.shape == (3, 50, 779)
    assert one_hots.dtype == torch.float32
    assert set(one_hots.unique().tolist()) == {0.0, 1.0}
    assert one_hots.sum(-1).eq(1).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_ids_are_drawn_from_the_softmax(temperature):
    logits, draws = random_logits(12, seed=1), 100_000
    counts = straight_through(logits.expand(1, draws, 12), temperature, generator())[0].sum(0)
    expected = torch.softmax(logits / temperature, 0) * draws
    chi_square = ((counts - expected).square() / expected).sum()
    assert chi_square < 31.26  # 0.999 quantile of 11 degrees of freedom


def test_what_is_impossible_is_never_drawn():
    logits = torch.full((1, 20_000, 9), -torch.inf)
    logits[..., 3] = logits[..., 5] = 0
    counts = straight_through(logits, generator=generator())[0].sum(0)
    assert counts[3] + counts[5] == 20_000
    assert abs(counts[3] - 10_000) < 300


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_gradient_is_that_of_the_softmax(temperature):
    ours, reference = random_logits(2, 7, 30).requires_grad_(), random_logits(2, 7, 30).requires_grad_()
    weights = random_logits(2, 7, 30, seed=2)
    (straight_through(ours, temperature) * weights).sum().backward()
    (torch.softmax(reference / temperature, -1) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, reference.grad)
    assert ours.grad.abs().max() > 1e-3


def test_gradient_has_the_type_of_the_logits():
    logits = random_logits(1, 4, 9).bfloat16().requires_grad_()
    straight_through(logits)[..., 0].sum().backward()
    assert logits.grad.dtype == torch.bfloat16


def test_a_generator_decides_and_rows_are_drawn_for_themselves():
    logits = random_logits(1, 40, 30).expand(2, 40, 30)
    first, again = (straight_through(logits, generator=generator(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, straight_through(logits, generator=generator(6)))
