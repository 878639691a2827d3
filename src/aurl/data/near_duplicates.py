"""Which pieces are so alike that they must not stand on both sides of a split: groups of near fingerprints.

Pieces whose fingerprints agree in one of many bands of numbers are candidates (locality-sensitive hashing), and of
those that are near each other the connected sets are found. Being near is not transitive: in a connected set the first
and the last piece may have nothing in common, and one such chain could swallow half a folder. So a group is made of a
leader, the first piece that is near no leader before it, and of the pieces that are near it: whoever is in a group is
near its first piece. That is what comparing every piece with all leaders before it would give, but for the few pairs
that no band finds.
"""

import numpy as np
from numpy.typing import NDArray

from aurl.data.fingerprint import NO_NUMBER
from aurl.midi.score import Ints

DEFAULT_SIMILARITY = 0.25
"""Estimated Jaccard index from which pieces count as one; how it was chosen is in docs/data.md."""
CANDIDATE_CHANCE = 0.99
"""Probability that a pair which is just similar enough shares a band, were bands independent; it is 0.978 or more."""
LEADERS_PER_BUCKET = 8
"""A bucket with more pieces that are all unlike is one of a commonplace; the rest of it is left alone."""
_PAIRS_AT_ONCE = 2**14
"""Pairs compared at once: what is worked on stays in the cache."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Numbers = NDArray[np.uint32]
Mask = NDArray[np.bool_]


def similarity(a: Numbers, b: Numbers) -> float:
    """Estimated Jaccard index of the n-grams of two pieces, 0 to 1; 0 if either is too short to say."""
    return float(similarities(a, b[None])[0])


def similarities(a: Numbers, many: Numbers) -> NDArray[np.float64]:
    """`similarity` of one fingerprint (K,) with each of many (n, K), (n,)."""
    share: NDArray[np.float64] = (many == a).mean(axis=1)
    return share * float(a[0] != NO_NUMBER)


def group(fingerprints: Numbers, *, threshold: float = DEFAULT_SIMILARITY) -> Ints:
    """The first piece of each piece's group, (n,); a piece that is near no other is its own.

    Args:
        fingerprints: (n, K).
        threshold: least `similarity` of a piece with the first of its group, over 0.
    """
    near = _Nearness(fingerprints, threshold)
    sets = np.arange(len(fingerprints))
    said = (fingerprints[:, 0] != NO_NUMBER).nonzero()[0] if len(fingerprints) else sets
    for band in bands(threshold, fingerprints.shape[1]):
        members, buckets = _shared(said, _keys(fingerprints, said, band))
        _join(sets, members, near.leaders(members, buckets, most=LEADERS_PER_BUCKET))
    members, buckets = _shared(said, sets[said])
    groups = np.arange(len(fingerprints))
    groups[members] = near.leaders(members, buckets, most=len(members))
    return groups


def bands(threshold: float, size: int) -> list[Ints]:
    """Which numbers of a fingerprint are looked at together (Leskovec et al., Mining of Massive Datasets, section 3.4).

    A band has as many as leave a pair at the threshold its chance to agree in one. Every number is in two bands, beside
    its neighbours and beside distant ones, so that few pairs have bad luck in all of them.
    """
    rows = 1
    while rows < size and _chance(threshold, rows + 1, size) >= CANDIDATE_CHANCE:
        rows += 1
    numbers = np.arange(size - size % rows)
    found = [*numbers.reshape(-1, rows), *numbers.reshape(rows, -1).T]
    return found if 1 < rows < size else found[: len(found) // 2]


def _chance(threshold: float, rows: int, size: int) -> float:
    return float(1 - (1 - threshold**rows) ** (2 * (size // rows)))


class _Nearness:
    """Compares pieces.

    Args:
        fingerprints: (n, K).
        threshold: least share of equal numbers.
    """

    def __init__(self, fingerprints: Numbers, threshold: float) -> None:
        self._fingerprints = fingerprints
        self._low = fingerprints.astype(np.uint8)  # equal numbers have equal low bytes: a quarter of the memory to read
        self._threshold = threshold

    def leaders(self, members: Ints, buckets: Ints, *, most: int) -> Ints:
        """For each member of a bucket its leader: the first of the bucket that is near it and has no leader itself.

        Args:
            members: numbers of pieces, ascending within a bucket.
            buckets: of each member, equal ones together.
            most: leaders in a bucket after which the rest of it is left alone.
        """
        leaders = members.copy()
        left = np.arange(len(members))
        for _ in range(most):
            if not len(left):
                break
            begins = _changes(buckets[left])
            leader = members[left[begins]][np.cumsum(begins) - 1]
            follows = ~begins
            follows[follows] = self._near(members[left[follows]], leader[follows])
            leaders[left[follows]] = leader[follows]
            left = left[~(begins | follows)]
        return leaders

    def _near(self, one: Ints, other: Ints) -> Mask:
        result = np.empty(len(one), np.bool_)
        for start in range(0, len(one), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            maybe = self._alike(self._low, one[part], other[part])
            sure = maybe.nonzero()[0] + start
            maybe[sure - start] = self._alike(self._fingerprints, one[sure], other[sure])
            result[part] = maybe
        return result

    def _alike(self, table: NDArray[np.unsignedinteger], one: Ints, other: Ints) -> Mask:
        equal = table.take(one, axis=0) == table.take(other, axis=0)
        alike: Mask = equal.mean(axis=1) >= self._threshold
        return alike


def _keys(fingerprints: Numbers, pieces: Ints, band: Ints) -> NDArray[np.uint64]:
    """A number for what each piece has in a band; that others meet by chance costs a comparison, no more."""
    keys = np.zeros(len(pieces), np.uint64)
    for column in band:
        keys *= _MULTIPLIER
        keys += fingerprints[pieces, column]
    return keys


def _shared(members: Ints, keys: NDArray[np.generic]) -> tuple[Ints, Ints]:
    """Members whose key another one has too, equal keys together, and numbers for the keys."""
    order = np.argsort(keys, kind="stable")
    begins = _changes(keys[order])
    alone = begins.copy()
    alone[:-1] &= begins[1:]
    order = order[~alone]
    return members[order], (np.cumsum(begins) - 1)[~alone]


def _changes(values: NDArray[np.generic]) -> Mask:
    result = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=result[1:])
    return result


def _join(sets: Ints, one: Ints, other: Ints) -> None:
    """Make one set of the sets of each pair; `sets` names the first member of each piece's set, changed in place."""
    while True:
        first, second = sets[one], sets[other]
        differ = first != second
        if not differ.any():
            return
        one, other, first, second = one[differ], other[differ], first[differ], second[differ]
        np.minimum.at(sets, np.maximum(first, second), np.minimum(first, second))
        while (sets[sets] != sets).any():
            sets[:] = sets[sets]
