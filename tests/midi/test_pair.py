from collections import defaultdict, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurl.midi.pair import next_of_key, pair_notes


def pair(*events):
    """Pairs of (key, tick, "on" | "off") events as a dictionary from the place of each on to that of its off."""
    key, tick, kind = zip(*events, strict=True)
    pairs = pair_notes(np.array(key), np.array(tick), np.array([k == "on" for k in kind]))
    return dict(zip(pairs.on.tolist(), pairs.off.tolist(), strict=True)), pairs.missing


def test_notes_of_different_keys_do_not_meet():
    assert pair((1, 0, "on"), (2, 0, "on"), (1, 9, "off"), (2, 9, "off")) == ({0: 2, 1: 3}, 0)


def test_overlapping_notes_end_in_the_order_of_their_onsets():
    assert pair((1, 0, "on"), (1, 5, "on"), (1, 9, "off"), (1, 12, "off")) == ({0: 2, 1: 3}, 0)


def test_an_off_while_nothing_sounds_ends_nothing():
    assert pair((1, 0, "off"), (1, 5, "on"), (1, 9, "off"), (1, 12, "off")) == ({1: 2}, 0)


def test_a_note_that_nothing_ends_is_stuck():
    assert pair((1, 0, "on"), (2, 3, "on"), (2, 5, "off")) == ({0: -1, 1: 2}, 1)


def test_one_missing_off_does_not_shift_the_notes_after_it():
    events = [(1, 0, "on"), (1, 10, "on"), (1, 15, "off"), (1, 20, "on"), (1, 25, "off")]
    assert pair(*events) == ({0: 2, 1: 2, 3: 4}, 1)


def test_an_empty_note_written_the_wrong_way_round():
    events = [(1, 0, "on"), (1, 10, "off"), (1, 10, "off"), (1, 10, "on"), (1, 20, "on"), (1, 30, "off")]
    assert pair(*events) == ({0: 1, 3: 2, 4: 5}, 0)


def test_two_empty_notes_at_one_tick_written_the_wrong_way_round():
    events = [(1, 10, "off"), (1, 10, "off"), (1, 10, "on"), (1, 10, "on"), (1, 20, "on"), (1, 30, "off")]
    assert pair(*events) == ({2: 1, 3: 0, 4: 5}, 0)


def test_a_needless_off_before_a_note_does_not_make_it_empty():
    assert pair((1, 10, "off"), (1, 10, "on"), (1, 20, "off")) == ({1: 2}, 0)


def queue_pairs(events):
    """First on, first off with queues; None where a key lacks an off or has one that ends nothing."""
    sounding, result = defaultdict(deque), {}
    for place, (key, is_on) in enumerate(events):
        if is_on:
            sounding[key].append(place)
        elif not sounding[key]:
            return None
        else:
            result[sounding[key].popleft()] = place
    return result if not any(sounding.values()) else None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
def test_balanced_files_are_paired_like_queues(events):
    expected = queue_pairs(events)
    found, missing = pair(*((key, place, "on" if on else "off") for place, (key, on) in enumerate(events)))
    assert set(found) == {place for place, (_, on) in enumerate(events) if on}
    if expected is not None:
        assert (found, missing) == (expected, 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=60))
def test_every_on_ends_with_an_off_of_its_key_at_its_tick_or_later(events):
    ticks = np.cumsum([step for _, step, _ in events]).tolist()
    found, missing = pair(
        *((key, tick, "on" if on else "off") for (key, _, on), tick in zip(events, ticks, strict=True))
    )
    for on, off in found.items():
        if off >= 0:
            assert events[off][0] == events[on][0]
            assert not events[off][2]
            assert ticks[off] >= ticks[on]
    assert missing >= sum(off < 0 for off in found.values())


@pytest.mark.parametrize(("at", "key", "expected"), [(0, 1, 2), (3, 1, 5), (6, 1, -1), (0, 2, 4), (0, 9, -1)])
def test_next_of_key(at, key, expected):
    found = next_of_key(np.array([at]), np.array([key]), np.array([2, 4, 5]), np.array([1, 2, 1]))
    assert found.tolist() == [expected]


def test_next_of_key_without_any():
    assert next_of_key(np.array([0]), np.array([1]), np.array([], np.int64), np.array([], np.int64)).tolist() == [-1]
