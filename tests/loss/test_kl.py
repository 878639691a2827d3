import pytest
import torch

from aurl.loss.kl import with_free_bits


def latents(values, real=None):
    """One level: (B, n) nats that take a gradient, and which are real."""
    nats = torch.tensor(values, requires_grad=True)
    return nats, torch.ones_like(nats, dtype=torch.bool) if real is None else torch.tensor(real)


def cost(nats, real, free, **options):
    return with_free_bits({"fine": nats}, {"fine": real}, {"fine": free}, **options)["fine"]


def test_above_the_free_nats_all_of_it_counts():
    """A mean of 3 over four latents, of which 2 are free."""
    nats, real = latents([[8.0, 0.0], [1.0, 3.0]])
    total = cost(nats, real, 2.0)
    total.backward()
    assert total.item() == 12.0
    assert nats.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]  # the poor latents too: it is the mean that is clamped


def test_below_them_they_are_a_constant():
    nats, real = latents([[8.0, 0.0], [1.0, 3.0]])
    total = cost(nats, real, 3.5)
    total.backward()
    assert total.item() == 4 * 3.5
    assert nats.grad.abs().sum() == 0


def test_padding_is_not_counted():
    """Two real latents with a mean of 5: with the padding counted it would be 2.5."""
    nats, real = latents([[6.0, 0.0], [4.0, 0.0]], [[True, False], [True, False]])
    assert cost(nats, real, 4.0).item() == 10.0
    assert cost(nats, real, 6.0).item() == 12.0


def test_levels_are_free_by_themselves():
    many, few = latents([[1.0, 1.0, 1.0, 1.0]]), latents([[10.0]])
    kl, real = {"global": few[0], "fine": many[0]}, {"global": few[1], "fine": many[1]}
    costs = with_free_bits(kl, real, {"global": 8.0, "fine": 2.0})
    assert {level: total.item() for level, total in costs.items()} == {"global": 10.0, "fine": 8.0}


@pytest.mark.parametrize("free", [0.5, 2.0, 4.0])
def test_two_processes_add_up_to_one(free):
    """The mean is 3 over both, 1 and 5 in each: with 2 free nats, each alone would clamp otherwise."""
    first, second, whole = latents([[1.0, 1.0]]), latents([[5.0, 5.0]]), latents([[1.0, 1.0], [5.0, 5.0]])
    own = [torch.stack([nats.detach().sum(), real.sum()]) for nats, real in (first, second)]

    def add_up(tensor):
        assert any(torch.equal(tensor, one) for one in own)
        return sum(own)

    parts = [cost(nats, real, free, add_up=add_up) for nats, real in (first, second)]
    together = cost(*whole, free)
    (parts[0] + parts[1]).backward()
    together.backward()
    assert (parts[0] + parts[1]).item() == together.item()
    assert torch.equal(torch.cat([first[0].grad, second[0].grad]), whole[0].grad)


def test_a_batch_of_padding_costs_nothing():
    nats, real = latents([[0.0]], [[False]])
    total = cost(nats, real, 8.0)
    total.backward()
    assert total.item() == 0.0
    assert nats.grad.tolist() == [[0.0]]
