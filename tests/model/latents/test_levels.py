import pytest
import torch

from aurl.model.latents import LEVEL_NAMES, Level

WHOLE = Level("global", 16)
FINE = Level("fine", 16, 32)


def test_names_go_from_coarse_to_fine():
    assert LEVEL_NAMES == ("global", "local", "fine")


@pytest.mark.parametrize(("length", "fine"), [(1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (1000, 32)])
def test_every_begun_segment_has_a_latent(length, fine):
    assert FINE.count(length) == fine
    assert WHOLE.count(length) == 1


def test_positions_are_of_the_segment_that_they_lie_in():
    positions = torch.tensor([0, 31, 32, 95, 96, 10_000])
    assert FINE.segment_of(positions).tolist() == [0, 0, 1, 2, 3, 312]
    assert WHOLE.segment_of(positions).tolist() == [0] * 6


@pytest.mark.parametrize("level", [WHOLE, FINE])
@pytest.mark.parametrize("length", [1, 32, 77])
def test_the_last_position_has_the_last_latent(level, length):
    assert level.segment_of(torch.arange(length))[-1] == level.count(length) - 1
