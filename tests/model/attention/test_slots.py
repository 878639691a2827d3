"""Both layouts of remembered values hold, mix and lose rows alike."""

import pytest
import torch

from aurl.model.attention.slots import LONG, Slots

SHAPE = (3, 2, 16)


def mixed_after(size, rows=None):
    generator = torch.Generator().manual_seed(0)
    slots = Slots(torch.empty(0), SHAPE, size)
    slots.write(slice(0, 30), *torch.randn(2, *SHAPE[:2], 30, SHAPE[2], generator=generator))
    if rows is not None:
        slots.select(torch.tensor(rows))
    token = torch.randn(3, *SHAPE, generator=generator)
    return slots.step(30, 31, *(token if rows is None else token[:, rows]))


@pytest.mark.parametrize("rows", [None, [2, 0], [1]])
def test_long_caches_mix_as_short_ones(rows):
    short, long = mixed_after(LONG - 1, rows), mixed_after(LONG, rows)
    torch.testing.assert_close(long, short, rtol=0, atol=1e-6)
    assert len(long) == (3 if rows is None else len(rows))


def test_rows_that_stay_do_not_notice():
    torch.testing.assert_close(mixed_after(LONG, [2, 0]), mixed_after(LONG)[[2, 0]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [64, LONG])
def test_values_keep_their_layout_when_rows_leave(size):
    slots = Slots(torch.empty(0), SHAPE, size)
    before = slots.values.stride()[2:]
    slots.select(torch.tensor([1]))
    assert slots.values.stride()[2:] == before
    assert slots.values.shape == (1, 2, size, 16)
