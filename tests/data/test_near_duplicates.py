import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aurl.data.fingerprint import FINGERPRINT_SIZE, NO_NUMBER
from aurl.data.near_duplicates import (
    CANDIDATE_CHANCE,
    LEADERS_PER_BUCKET,
    bands,
    group,
    similarities,
    similarity,
)


def drawn(rng, *shape):
    return rng.integers(0, 2**31, (*shape, FINGERPRINT_SIZE), dtype=np.uint32)


def altered(rng, fingerprint, share):
    """The fingerprint with this share of its numbers drawn anew."""
    places = rng.permutation(FINGERPRINT_SIZE)[: round(share * FINGERPRINT_SIZE)]
    copy = fingerprint.copy()
    copy[places] = rng.integers(0, 2**31, len(places))
    return copy


def by_brute_force(fingerprints, threshold):
    """Each piece is compared with every leader before it, number by number."""
    leaders, groups = [], []
    for at, one in enumerate(fingerprints.tolist()):
        for leader in leaders:
            equal = sum(a == b for a, b in zip(one, fingerprints[leader].tolist(), strict=True))
            if equal / len(one) >= threshold and one[0] != NO_NUMBER:
                groups.append(leader)
                break
        else:
            leaders.append(at)
            groups.append(at)
    return groups


def test_similarity_is_the_share_of_equal_numbers():
    rng = np.random.default_rng(0)
    one = drawn(rng)
    many = np.stack([one, altered(rng, one, 0.25), drawn(rng), np.full(FINGERPRINT_SIZE, NO_NUMBER, np.uint32)])
    assert similarities(one, many).tolist() == [1, 0.75, 0, 0]
    assert similarity(one, many[1]) == similarity(many[1], one) == 0.75
    assert not similarities(many[3], many).any()


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.8])
def test_groups_are_those_of_brute_force(threshold):
    rng = np.random.default_rng(1)
    sources = drawn(rng, 12)
    # Well on either side of the threshold, for at the threshold itself one pair in twenty may be missed.
    shares = rng.choice([0.0, 0.3 * (1 - threshold), 0.6 * (1 - threshold), 1 - 0.5 * threshold], 120)
    copies = [altered(rng, sources[rng.integers(len(sources))], share) for share in shares]
    fingerprints = np.stack([*copies, *sources, *drawn(rng, 30)])
    fingerprints[[3, 50, 100]] = NO_NUMBER
    fingerprints = fingerprints[rng.permutation(len(fingerprints))]
    expected = by_brute_force(fingerprints, threshold)
    assert group(fingerprints, threshold=threshold).tolist() == expected
    assert 20 < len(set(expected)) < len(expected) - 50


@settings(deadline=None)
@given(arrays(np.uint32, st.tuples(st.integers(0, LEADERS_PER_BUCKET), st.just(8)), elements=st.integers(0, 3)))
def test_groups_of_few_pieces_are_exactly_those_of_brute_force(fingerprints):
    assert [band.tolist() for band in bands(0.25, 8)] == [[at] for at in range(8)], (
        "any number in common makes a candidate"
    )
    assert group(fingerprints, threshold=0.25).tolist() == by_brute_force(fingerprints, 0.25)


def test_a_chain_does_not_make_one_group():
    rng = np.random.default_rng(2)
    chain = drawn(rng, 1)
    while len(chain) < 30:
        chain = np.concatenate([chain, altered(rng, chain[-1], 0.3)[None]])
    groups = group(chain, threshold=0.5)
    assert groups.tolist() == by_brute_force(chain, 0.5)
    assert len(set(groups.tolist())) > 5
    assert all(similarity(one, chain[leader]) >= 0.5 for one, leader in zip(chain, groups, strict=True))


def test_pieces_that_say_nothing_are_alone():
    fingerprints = np.full((50, FINGERPRINT_SIZE), NO_NUMBER, np.uint32)
    fingerprints[[7, 20]] = drawn(np.random.default_rng(3))
    expected = np.arange(50)
    expected[20] = 7
    assert np.array_equal(group(fingerprints, threshold=0.3), expected)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_pieces(count):
    assert group(drawn(np.random.default_rng(4), count), threshold=0.3).tolist() == list(range(count))


def test_twenty_thousand_equal_pieces_are_compared_with_one():
    rng = np.random.default_rng(5)
    one, other = drawn(rng, 2)
    fingerprints = np.concatenate([np.tile(other, (5, 1)), np.tile(one, (20_000, 1)), np.tile(other, (5, 1))])
    expected = np.r_[np.zeros(5), np.full(20_000, 5), np.zeros(5)]
    assert np.array_equal(group(fingerprints, threshold=0.3), expected)


def test_a_commonplace_in_many_pieces_hides_no_pair():
    rng = np.random.default_rng(6)
    fingerprints = drawn(rng, 300)
    fingerprints[:, :10] = fingerprints[0, :10]  # several bands that all pieces share
    copies = np.stack([altered(rng, one, 0.4) for one in fingerprints])
    groups = group(np.concatenate([fingerprints, copies]), threshold=0.4)
    assert np.array_equal(groups, np.tile(np.arange(300), 2))


@pytest.mark.parametrize("threshold", [0.05, 0.25, 0.3, 0.5, 0.9])
def test_bands_find_pairs_at_the_threshold(threshold):
    equal = np.random.default_rng(7).random((4000, FINGERPRINT_SIZE)) < threshold
    found = np.array([equal[:, band].all(axis=1) for band in bands(threshold, FINGERPRINT_SIZE)])
    # Bands that have a number in common are not independent, as CANDIDATE_CHANCE takes them to be.
    assert found.any(axis=0).mean() > CANDIDATE_CHANCE - 0.015


@pytest.mark.parametrize(("threshold", "rows"), [(0.05, 1), (0.25, 2), (0.5, 3), (0.9, 14), (1.0, FINGERPRINT_SIZE)])
def test_bands_are_wide_and_each_is_another(threshold, rows):
    found = [tuple(sorted(band)) for band in bands(threshold, FINGERPRINT_SIZE)]
    assert {len(band) for band in found} == {rows}
    assert len(set(found)) == len(found)
