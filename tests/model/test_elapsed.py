"""Time in streams that leave out a span."""

import pytest
import torch

from aurl.model.elapsed import Clock, tell
from aurl.tokens.vocabulary import BOS, MASK, SEP, TIME_SHIFT


def shift(steps):
    return TIME_SHIFT.start + steps - 1


STREAM = [BOS, SEP, 60, shift(8), 188, MASK, SEP, shift(100), 62, shift(4), 190, SEP, 64, shift(50), 192]
TIMES = [0, 0, 0, 8, 8, 8, 8, 108, 108, 112, 112, 8, 8, 58, 58]


def told(ids, clock):
    ids = torch.tensor(ids)
    shifts = torch.where((ids >= TIME_SHIFT.start) & (ids < TIME_SHIFT.stop), ids - TIME_SHIFT.start + 1, 0)
    return tell(clock, shifts, ids == SEP)


@pytest.mark.parametrize("start", [0, 1000])
def test_behind_the_third_sep_it_is_the_time_of_the_gap_again(start):
    times, _ = told([STREAM, STREAM], Clock.at(torch.tensor([start, 0])))
    assert times.tolist() == [[time + start for time in TIMES], TIMES]


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
def test_it_is_the_same_in_two_parts(cut):
    first, clock = told([STREAM[:cut]], Clock.at(torch.tensor([5])))
    second, _ = told([STREAM[cut:]], clock)
    assert torch.cat([first, second], 1).tolist() == [[time + 5 for time in TIMES]]


def test_without_a_third_sep_time_only_adds_up():
    times, _ = told([[BOS, SEP, shift(3), shift(4), SEP, shift(512)]], Clock.at(torch.tensor([0])))
    assert times.tolist() == [[0, 0, 3, 7, 7, 519]]
