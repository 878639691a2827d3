"""What a piece sounds like in 512 bytes, whatever its key, tempo, velocities and instruments: a MinHash of its n-grams.

Lines of a piece are read: the highest note of every onset, over all pitched tracks, and the same of the two tracks that
lie highest (never of the lowest), which stay when an accompaniment is added or taken away. Onsets nearer than a twelfth
of a beat are one, so that human timing and exact timing give the same line. An n-gram is four intervals in a row, each
with the ratio of the times before and after it as shorter, alike or longer; so it knows no key and no tempo, and
repeats, written out or not, add nothing to the set of n-grams. Drums are left out, except where there is nothing else:
then an n-gram is seven hits in a row, each with its pitch and whether it begins a new onset.

The set becomes `FINGERPRINT_SIZE` numbers by one-permutation hashing (Li, Owen & Zhang, NIPS 2012) with optimal
densification (Shrivastava, ICML 2017): the share of numbers that two fingerprints have in common estimates the Jaccard
index of their sets. All arithmetic is on integers, so that every machine finds the same.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints, Score, Track

FINGERPRINT_SIZE = 128
"""Numbers in a fingerprint; the estimate of a Jaccard index of 0.3 has a standard deviation of 0.04."""
FINGERPRINT_VERSION = 1
"""Raised whenever the same piece would get another fingerprint."""
NO_NUMBER = 0xFFFFFFFF
"""All numbers of the fingerprint of a piece that is too short to say anything; no other holds it."""
MIN_FILLED = 8
"""Numbers that the n-grams of a piece must give by themselves."""

ONSETS_PER_BEAT = 12
"""Notes that begin within less than one of these belong together: 42 ms at 120 BPM; a sextuplet has half as many."""
MELODY_SHARE = 10
"""A track with fewer notes than one in so many of the longest track is no melody."""
MELODIES = 2
"""Tracks that are read by themselves: with one, too many lose their accompaniment unseen; with three, their merging."""
INTERVALS, HITS = 4, 7
"""Length of an n-gram. With 3 intervals, unrelated fiddle tunes have 0.2 in common."""
RATIO = (7, 5)
"""A time is longer than another if it is so many times as long: between the equal and the dotted."""
PITCH_BITS, INTERVAL_BITS, RATIO_BITS = 7, 8, 2
PITCH_MASK, INTERVAL_MASK = (1 << PITCH_BITS) - 1, (1 << INTERVAL_BITS) - 1

BIN_BITS = 7
_BIN_SHIFT = np.uint64(64 - BIN_BITS)
_NUMBER_SHIFT = np.uint64(33)
"""Leaves 31 bits, so that no number is `NO_NUMBER`."""
_MULTIPLIERS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)

Numbers = NDArray[np.uint32]
Hashes = NDArray[np.uint64]


def fingerprint(score: Score) -> Numbers:
    """The fingerprint of a piece, (FINGERPRINT_SIZE,); all `NO_NUMBER` if it has too few different n-grams."""
    return min_hash(n_grams(score))


def n_grams(score: Score) -> Ints:
    """The n-grams of a piece as numbers, in no order that means anything, some of them several times."""
    sounding = [track for track in score.tracks if len(track.notes)]
    pitched = [track for track in sounding if not track.is_drum]
    if pitched:
        return _melodic(pitched, score.ticks_per_beat)
    return _rhythmic(sounding, score.ticks_per_beat) if sounding else np.empty(0, np.int64)


def _keys(tracks: Sequence[Track]) -> Ints:
    """Onset and, in the low bits, pitch of all notes, track by track."""
    onset = np.concatenate([track.notes.onset for track in tracks])
    onset <<= PITCH_BITS
    onset |= np.concatenate([track.notes.pitch for track in tracks])
    return onset


def _melodic(tracks: Sequence[Track], ticks_per_beat: int) -> Ints:
    keys = _keys(tracks)
    melodies = [keys[place] for place in _highest(tracks, keys)] if len(tracks) > 1 else []
    # All lines at once, one after the other: a third of the calls.
    lines = [np.sort(keys), *melodies]
    bounds = list(accumulate(map(len, lines), initial=0))
    onset, pitch, bounds = _highest_notes(np.concatenate(lines), bounds, ticks_per_beat)
    if len(pitch) < INTERVALS + 2:
        return np.empty(0, np.int64)
    gap = onset[1:] - onset[:-1]
    longer, than = gap * RATIO[1], gap * RATIO[0]
    token = pitch[2:] - pitch[1:-1]
    token &= INTERVAL_MASK
    token += (longer[1:] > than[:-1]).astype(np.int64) << INTERVAL_BITS
    token += (longer[:-1] > than[1:]).astype(np.int64) << (INTERVAL_BITS + 1)
    grams = _joined(token, INTERVALS, INTERVAL_BITS + RATIO_BITS)
    return np.concatenate([grams[start : max(stop - INTERVALS - 1, start)] for start, stop in pairwise(bounds)])


def _highest(tracks: Sequence[Track], keys: Ints) -> list[slice]:
    """Where the tracks are that lie highest on average, of those with a fair share of notes; never the lowest."""
    lengths = [len(track.notes) for track in tracks]
    bounds = list(accumulate(lengths, initial=0))
    heights = np.add.reduceat(keys & PITCH_MASK, bounds[:-1]).tolist()
    fair = max(lengths) // MELODY_SHARE
    order = sorted(
        ((height << PITCH_BITS) // length, length, place)
        for place, (height, length) in enumerate(zip(heights, lengths, strict=True))
        if length >= fair
    )
    return [slice(bounds[place], bounds[place + 1]) for *_, place in order[1:][-MELODIES:]]


def _highest_notes(keys: Ints, bounds: Sequence[int], ticks_per_beat: int) -> tuple[Ints, Ints, list[int]]:
    """(onset, highest pitch) of each onset of several lines, and the bounds of the lines among them."""
    onset = keys >> PITCH_BITS
    gap = onset[1:] - onset[:-1]
    begins = np.ones(len(keys), np.bool_)
    np.greater_equal(gap * ONSETS_PER_BEAT, ticks_per_beat, out=begins[1:])
    for start in bounds[:-1]:
        begins[start] = True
    first = begins.nonzero()[0]
    return onset[first], np.maximum.reduceat(keys & PITCH_MASK, first), first.searchsorted(bounds).tolist()


def _rhythmic(tracks: Sequence[Track], ticks_per_beat: int) -> Ints:
    keys = _keys(tracks)
    keys.sort()
    onset = keys >> PITCH_BITS
    begins = np.zeros(len(keys), np.int64)
    begins[1:] = (onset[1:] - onset[:-1]) * ONSETS_PER_BEAT >= ticks_per_beat
    hits = (np.cumsum(begins) << PITCH_BITS) | (keys & PITCH_MASK)
    hits.sort()  # within an onset by pitch, whichever hand was first
    place = hits >> PITCH_BITS
    token = hits & PITCH_MASK
    token[1:] |= (place[1:] - place[:-1]) << PITCH_BITS
    return _joined(token, HITS, PITCH_BITS + 1)


def _joined(token: Ints, length: int, bits: int) -> Ints:
    """Each `length` tokens in a row as one number."""
    count = max(len(token) - length + 1, 0)
    grams = token[:count].copy()
    for place in range(1, length):
        grams <<= bits
        grams |= token[place : place + count]
    return grams


def min_hash(grams: Ints) -> Numbers:
    """One-permutation MinHash of a set of numbers, each given at least once."""
    hashes = _mixed(grams.astype(np.uint64))
    hashes.sort()
    place = hashes >> _BIN_SHIFT
    begins = np.ones(len(place), np.bool_)
    np.not_equal(place[1:], place[:-1], out=begins[1:])
    first = begins.nonzero()[0]
    numbers = np.full(FINGERPRINT_SIZE, NO_NUMBER, np.uint32)
    numbers[place[first].astype(np.intp)] = hashes[first] >> _NUMBER_SHIFT
    is_filled = numbers != NO_NUMBER
    empty = (~is_filled).nonzero()[0]
    if FINGERPRINT_SIZE - len(empty) < MIN_FILLED:
        numbers[:] = NO_NUMBER
    elif len(empty):
        probes = _PROBES[empty]
        numbers[empty] = numbers[probes[np.arange(len(empty)), is_filled[probes].argmax(axis=1)]]
    return numbers


def _mixed(values: Hashes) -> Hashes:
    """Scatter values over 64 bits, one to one, in place."""
    for multiplier in _MULTIPLIERS:
        values *= multiplier
        values ^= values >> _HALF
    values *= _MULTIPLIERS[0]
    return values


def _probes() -> NDArray[np.intp]:
    """For each number the order in which it asks the others for theirs when it has none, drawn at random once."""
    every = np.arange(FINGERPRINT_SIZE**2, dtype=np.uint64).reshape(FINGERPRINT_SIZE, FINGERPRINT_SIZE)
    return np.argsort(_mixed(every + np.uint64(1)), axis=1, kind="stable")


_PROBES = _probes()
