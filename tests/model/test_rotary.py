import torch

from aurl.model.rotary import PERIODS_STEPS, Rotary, rotate


def turned(x, index, elapsed_steps):
    rotary = Rotary(x.shape[-1])
    return rotate(x[None, None, None], rotary(torch.tensor([index]), torch.tensor([[elapsed_steps]])))[0, 0, 0]


def test_only_distances_matter():
    q, k = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    here = turned(q, 30, 500) @ turned(k, 10, 372)
    there = turned(q, 1030, 7028) @ turned(k, 1010, 6900)
    torch.testing.assert_close(here, there, rtol=0, atol=1e-3)


def test_both_the_index_and_the_time_turn():
    x = torch.ones(64)
    assert not torch.allclose(turned(x, 0, 0), turned(x, 1, 0))
    assert not torch.allclose(turned(x, 0, 0), turned(x, 0, 8))


def test_time_turns_are_exact_at_any_distance():
    x = torch.randn(64, generator=torch.Generator().manual_seed(1))
    cycle = 3 * max(PERIODS_STEPS)  # a multiple of every period
    assert torch.equal(turned(x, 5, 7), turned(x, 5, 7 + 1000 * cycle))


def test_lengths_stay():
    x = torch.randn(64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(turned(x, 77, 12345).norm(), x.norm())


def test_agrees_with_real_arithmetic():
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(3))
    turns = Rotary(8)(torch.arange(5), torch.arange(5).repeat(2, 1) * 3)
    first, second = x[..., ::2], x[..., 1::2]
    cos, sin = turns.real, turns.imag
    expected = torch.stack([first * cos - second * sin, first * sin + second * cos], -1).flatten(-2)
    torch.testing.assert_close(rotate(x, turns), expected)
