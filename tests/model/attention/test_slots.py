"""What slots hold and mix, against plain attention over the same keys and values."""

import pytest
import torch

from aurl.model.attention.slots import CHUNK, Slots

SHAPE = (3, 2, 16)
"""(B, H, D)"""


def tokens(count, seed=0):
    """Keys and values (2, B, H, count, D)."""
    return torch.randn(2, *SHAPE[:2], count, SHAPE[2], generator=torch.Generator().manual_seed(seed))


def filled(size, count):
    """Slots of which the first `count` are written, and what was written."""
    slots, written = Slots(torch.empty(0), SHAPE, size), tokens(count)
    slots.write(torch.arange(count), *written)
    return slots, written


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])
def test_one_query_mixes_what_is_filled_and_the_new_token(count):
    slots, (keys, values) = filled(4 * CHUNK, count)
    (k, v), q = tokens(1, seed=1)[..., 0, :], tokens(1, seed=2)[0, ..., 0, :]
    keys, values = torch.cat([keys, k[:, :, None]], 2), torch.cat([values, v[:, :, None]], 2)
    weights = torch.einsum("bhd,bhnd->bhn", q, keys).softmax(-1)
    expected = torch.einsum("bhn,bhnd->bhd", weights, values)
    torch.testing.assert_close(slots.step(count, count + 1, q, k, v), expected, rtol=0, atol=1e-5)


def test_slots_are_read_in_the_order_that_is_asked_for():
    slots, (keys, values) = filled(2 * CHUNK, 2 * CHUNK)
    order = torch.randperm(2 * CHUNK, generator=torch.Generator().manual_seed(3))
    found = slots.read(order)
    assert torch.equal(found[0], keys[:, :, order])
    assert torch.equal(found[1], values[:, :, order])


def test_a_slot_that_is_written_again_holds_the_new_token():
    slots, (keys, values) = filled(CHUNK, CHUNK)
    newer = tokens(2, seed=1)
    slots.write(torch.tensor([5, 2]), *newer)
    for found, old, new in zip(slots.read(torch.arange(CHUNK)), (keys, values), newer, strict=True):
        assert torch.equal(found[:, :, [5, 2]], new)
        assert torch.equal(found[:, :, 6:], old[:, :, 6:])


@pytest.mark.parametrize("rows", [[2, 0], [1], [0, 0, 2]])
def test_rows_that_stay_do_not_notice(rows):
    together, _ = filled(2 * CHUNK, CHUNK + 3)
    alone, _ = filled(2 * CHUNK, CHUNK + 3)
    alone.select(torch.tensor(rows))
    (k, v), q = tokens(1, seed=1)[..., 0, :], tokens(1, seed=2)[0, ..., 0, :]
    whole = together.step(CHUNK + 3, CHUNK + 4, q, k, v)
    assert torch.equal(alone.step(CHUNK + 3, CHUNK + 4, q[rows], k[rows], v[rows]), whole[rows])


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [1, 1, 0], [2, 2, 2], [0, 0, 1, 2, 2], [2, 1]], ids=str)
def test_rows_in_another_order_and_more_than_once(rows):
    slots, (keys, values) = filled(2 * CHUNK, CHUNK + 9)
    slots.select(torch.tensor(rows))
    for found, written in zip(slots.read(torch.arange(CHUNK + 9)), (keys, values), strict=True):
        assert torch.equal(found, written[rows])
