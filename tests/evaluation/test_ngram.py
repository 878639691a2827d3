from collections import Counter

import numpy as np
import pytest

from aurl.evaluation.ngram import NGram, compare_orders
from aurl.tokens.vocabulary import NOTE_ON

VOCABULARY = 7
START = None


def kneser_ney_by_hand(pieces, order):
    """Dictionary-based interpolated Kneser-Ney, written from the formula; ids before the start are START."""
    counts = [Counter() for _ in range(order + 1)]
    for piece in pieces:
        padded = [START] * (order - 1) + list(piece)
        for end in range(order, len(padded)):
            counts[order][tuple(padded[end - order + 1 : end + 1])] += 1
    for length in range(order - 1, 0, -1):
        for gram in counts[length + 1]:
            counts[length][gram[1:]] += 1

    def probability(context, token):
        if not context and not counts[1]:
            return 1 / VOCABULARY
        length = len(context) + 1
        table = counts[length]
        lower = probability(context[1:], token) if context else 1 / VOCABULARY
        followers = {gram: count for gram, count in table.items() if gram[:-1] == context}
        if not followers:
            return lower
        once = sum(count == 1 for count in table.values())
        twice = sum(count == 2 for count in table.values())
        discount = once / (once + 2 * twice) if once else 0.0
        share = max(table.get((*context, token), 0) - discount, 0)
        return (share + discount * len(followers) * lower) / sum(followers.values())

    return probability


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_equal_the_formula_by_hand(order):
    rng = np.random.default_rng(order)
    train = [rng.integers(0, VOCABULARY - 1, size=40) for _ in range(4)]
    held_out = rng.integers(0, VOCABULARY, size=25)
    by_hand = kneser_ney_by_hand([piece.tolist() for piece in train], order)
    padded = [START] * (order - 1) + held_out.tolist()
    expected = [by_hand(tuple(padded[end - order + 1 : end]), padded[end]) for end in range(order, len(padded))]
    got = NGram(order, VOCABULARY).fit(train).probabilities(held_out)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_probabilities_of_all_followers_sum_to_one(order):
    rng = np.random.default_rng(0)
    model = NGram(order, VOCABULARY).fit([rng.integers(0, VOCABULARY, size=200)])
    context = rng.integers(0, VOCABULARY, size=9)
    total = sum(model.probabilities(np.append(context, token))[-1] for token in range(VOCABULARY))
    assert total == pytest.approx(1.0)


def test_likelihood_counts_every_id_but_the_first_and_divides_by_notes():
    piece = np.array([775, 60, 256, 188, 62, 256, 190, 776])
    result = NGram(2, 779).fit([piece]).likelihood([piece, piece[:1]])
    assert (result.tokens, result.notes) == (7, 2)
    assert result.nats_per_note == pytest.approx(result.nats_per_token * 7 / 2)
    assert (piece[1:] < NOTE_ON.stop).sum() == 2


def test_higher_orders_win_on_a_pattern_that_needs_them():
    cycle = np.tile([1, 2, 1, 3], 50)
    results = compare_orders([cycle], [cycle], vocabulary_size=VOCABULARY, max_order=3)
    assert results[3].nats_per_token < 0.1 < results[2].nats_per_token < results[1].nats_per_token


def test_keys_that_cannot_fit_are_refused():
    with pytest.raises(ValueError, match="64-bit"):
        NGram(7, 1259)
