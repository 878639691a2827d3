"""Note-ons and note-offs → notes; no Python loop over events."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints

Mask = NDArray[np.bool_]
_MAX_REVERSED_AT_ONE_TICK = 8


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which note-off ends which note-on.

    Args:
        on: positions of all note-ons.
        off: position of the note-off of each, −1 where there is none.
        missing: note-ons in all that lack a note-off of their own.
    """

    on: Ints
    off: Ints
    missing: int = 0


def pair_notes(key: Ints, tick: Ints, is_on: Mask) -> Pairs:
    """Pair notes of the same key: first on, first off; a note-off while nothing sounds ends nothing.

    Two habits of programs are understood. An off just before its on at one tick is an empty note written the wrong
    way round (grace notes in music21's exports), not a note that never ends. And where offs are missing, order cannot
    tell whose, so that every note of that key ends at the first off after it; otherwise one missing off would shift
    all that follow.

    Args:
        key: what must be equal for an off to end an on (track, channel, pitch), in order of the file.
        tick: absolute.
        is_on: note-on or note-off.
    """
    order = np.argsort(_narrow(key), kind="stable")
    ordered_key, on = key[order], is_on[order]
    first = _firsts(ordered_key)
    wrong = first & ~on  # on and off take turns, and each key begins with an on and ends with an off
    wrong[1:] |= (on[1:] == on[:-1]) & ~first[1:]
    wrong[:-1] |= first[1:] & on[:-1]
    wrong[-1:] |= on[-1:]
    if not wrong.any():
        return Pairs(order[::2], order[1::2])
    group = np.cumsum(first) - 1
    faulty = np.zeros(group[-1] + 1, np.bool_)
    faulty[group[wrong]] = True
    faulty = faulty[group]
    plain, rest = order[~faulty], order[faulty]
    ons, offs, missing = _pair_with_faults(group[faulty], tick[rest], is_on[rest])
    offs = np.where(offs >= 0, rest[offs], -1)
    return Pairs(np.concatenate([plain[::2], rest[ons]]), np.concatenate([plain[1::2], offs]), missing)


def _firsts(values: Ints) -> Mask:
    """Which values are not the same as the one before; the first always."""
    result = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=result[1:])
    return result


def _pair_with_faults(group: Ints, tick: Ints, on: Mask) -> tuple[Ints, Ints, int]:
    """(places of the ons, of the off of each or −1, ons that lack an off); in order of group and file."""
    off = np.full(len(on), -1)
    left = _reversed_pairs(group, tick, on, off)
    found, missing = _first_on_first_off(group[left], on[left])
    off[left[on[left]]] = np.where(found >= 0, left[found], -1)
    return np.flatnonzero(on), off[on], missing


def _narrow(key: Ints) -> NDArray[np.generic]:
    """The same keys in 16 bits if they fit, for which numpy's stable sort is linear."""
    return key.astype(np.uint16) if len(key) and key.max() < 2**16 else key


def next_of_key(at: Ints, key: Ints, end_at: Ints, end_key: Ints) -> Ints:
    """For each position the first later one in `end_at` that has its key, −1 where there is none."""
    if not len(end_at):
        return np.full(len(at), -1)
    order = np.lexsort((end_at, end_key))
    span = int(max(at.max(initial=0), end_at.max())) + 1
    place = np.searchsorted(end_key[order] * span + end_at[order], key * span + at)
    found = order[np.minimum(place, len(order) - 1)]
    return np.where((place < len(order)) & (end_key[found] == key), end_at[found], -1)


def _reversed_pairs(group: Ints, tick: Ints, on: Mask, off: Ints) -> Ints:
    """Write into `off` the places of offs that stand just before their ons; returns the places that are left.

    Such an off finds nothing to end, stands at the tick of the on, and no other off follows the on.
    """
    left = np.arange(len(on))
    for _ in range(_MAX_REVERSED_AT_ONE_TICK):
        is_on, same_group = on[left], group[left[1:]] == group[left[:-1]]
        beside = same_group & (tick[left[1:]] == tick[left[:-1]]) & ~is_on[:-1] & is_on[1:]
        beside[:-1] &= is_on[2:] | ~same_group[1:]
        if not beside.any():
            break
        hits = (_unmatched(group[left], is_on)[:-1] & beside).nonzero()[0]
        if not len(hits):
            break
        off[left[hits + 1]] = left[hits]
        left = np.delete(left, np.concatenate([hits, hits + 1]))
    return left


def _unmatched(group: Ints, on: Mask) -> Mask:
    """Where an off finds nothing to end: the number of offs reaches a new lead over the number of ons."""
    step = np.where(on, 1, -1)
    lead = np.cumsum(step)
    group_starts = _firsts(group).nonzero()[0]
    sizes = np.append(group_starts[1:], len(on)) - group_starts
    lead -= np.repeat((lead - step)[group_starts], sizes)
    apart = (len(on) + 1) * np.repeat(np.arange(len(sizes)), sizes)  # so that a minimum of one group ends with it
    lowest = np.minimum(np.minimum.accumulate(lead - apart) + apart, 0)
    before = np.concatenate([[0], lowest[:-1]])
    before[group_starts] = 0
    return lowest < before


def _first_on_first_off(group: Ints, on: Mask) -> tuple[Ints, int]:
    """(the off of each on, −1 where there is none; ons in all that lack an off of their own).

    In groups that lack one, each on takes the first off after it, so that ons may share one.
    """
    useful = ~on & ~_unmatched(group, on)
    on_group = group[on]
    offs_of_group = np.bincount(group[useful], minlength=int(group.max(initial=0)) + 1)
    matched = np.arange(len(on_group)) - np.searchsorted(on_group, on_group) < offs_of_group[on_group]
    off = np.full(len(on_group), -1)
    off[matched] = np.flatnonzero(useful)
    missing = len(on_group) - int(np.count_nonzero(matched))
    if missing:
        lacking = np.bincount(on_group, minlength=len(offs_of_group)) > offs_of_group
        off = np.where(lacking[on_group], _first_off_after(group, on), off)
    return off, missing


def _first_off_after(group: Ints, on: Mask) -> Ints:
    """For each on the first off after it in its group, −1 where there is none."""
    nothing = len(on)
    following = np.minimum.accumulate(np.where(on, nothing, np.arange(nothing))[::-1])[::-1][on]
    same_group = np.append(group, -1)[following] == group[on]
    return np.where(same_group, following, -1)
