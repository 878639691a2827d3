"""Sampling against a plain reimplementation of each filter, and against the frequencies that it promises."""

import logging
import math

import numpy as np
import pytest
import torch

from aurl.errors import UsageError
from aurl.generation.sampling.sampler import DRAWS_PER_REFILL, HEAD, Draws, Sampler

VOCABULARY = 300


def some_logits(rows, *, seed=0, spread=3.0):
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * spread


def grid(rows):
    """Evenly spaced uniform numbers: a draw with them visits every id in proportion to its probability."""
    return ((np.arange(rows) + 0.5) / rows).tolist()


def reference(logits, *, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """Probabilities after the filters in their usual order, in plain Python."""
    ranked = sorted(((value / temperature, i) for i, value in enumerate(logits)), reverse=True)
    if top_k:
        ranked = ranked[:top_k]
    peak = ranked[0][0]
    weights = [(math.exp(value - peak), i) for value, i in ranked]
    total = sum(weight for weight, _ in weights)
    kept, mass = [], 0.0
    for weight, i in weights:
        if mass >= top_p or weight < min_p:
            break
        kept.append((weight / total, i))
        mass += weight / total
    return {i: weight / sum(w for w, _ in kept) for weight, i in kept}


FILTERS = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 1},
    {"top_k": 7},
    {"top_p": 0.3},
    {"top_p": 0.9},
    {"min_p": 0.1},
    {"top_k": 20, "top_p": 0.7},
    {"top_p": 0.95, "min_p": 0.05, "temperature": 1.3},
    {"top_k": 12, "min_p": 0.02},
    {"top_p": 0.999, "temperature": 5.0},  # needs more than the head of the order
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_frequencies_are_the_filtered_probabilities(filters):
    draws = 20_000
    logits = some_logits(1)
    ids = Sampler(**filters)(logits.expand(draws, -1), torch.zeros(1, VOCABULARY), grid(draws))
    expected = reference(logits[0].tolist(), **filters)
    found = np.bincount(ids, minlength=VOCABULARY) / draws
    assert set(ids) <= set(expected)
    for i, probability in expected.items():
        assert found[i].item() == pytest.approx(probability, abs=2 / draws)


def test_the_full_order_is_used_where_the_head_is_not_enough():
    flat = torch.zeros(1, VOCABULARY)
    ids = Sampler(top_p=0.905)(flat.expand(3000, -1), torch.zeros(1, VOCABULARY), grid(3000))
    assert len(set(ids)) == math.ceil(0.905 * VOCABULARY) > HEAD


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_a_row_does_not_depend_on_its_neighbours(filters):
    logits, uniforms = (
        some_logits(40, spread=2.0),
        np.random.default_rng(3).random(40),
    )
    bias = torch.where(torch.rand(40, VOCABULARY, generator=torch.Generator().manual_seed(4)) < 0.5, 0.0, -torch.inf)
    sampler = Sampler(**filters)
    together = sampler(logits, bias, uniforms)
    for row in range(40):
        one = slice(row, row + 1)
        assert sampler(logits[one], bias[one], uniforms[one]) == together[one]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-23])
def test_what_is_masked_is_never_chosen(filters, uniform):
    logits = some_logits(500, spread=8.0)
    generator = torch.Generator().manual_seed(9)
    bias = torch.where(torch.rand(500, VOCABULARY, generator=generator) < 0.02, 0.0, -torch.inf)
    bias[bias.isinf().all(1), 17] = 0
    ids = Sampler(**filters)(logits, bias, [uniform] * 500)
    assert (bias[torch.arange(500), ids] == 0).all()


def test_zero_temperature_takes_the_likeliest_allowed():
    logits = torch.tensor([[1.0, 5.0, 3.0], [9.0, 5.0, 3.0]])
    bias = torch.tensor([[0.0, -torch.inf, 0.0], [0.0, 0.0, 0.0]])
    assert Sampler(temperature=0)(logits, bias, [0.999, 0.999]) == [2, 0]


def test_zero_temperature_is_the_limit_of_small_ones():
    logits, uniforms = some_logits(50), np.random.default_rng(0).random(50)
    none = torch.zeros(1, VOCABULARY)
    assert np.array_equal(
        Sampler(temperature=0)(logits, none, uniforms), Sampler(temperature=1e-4)(logits, none, uniforms)
    )


def test_more_than_the_vocabulary_is_all_of_it_and_said_once(caplog):
    logits, none, uniforms = some_logits(5), torch.zeros(5, VOCABULARY), grid(5)
    sampler = Sampler(top_k=VOCABULARY + 1)
    with caplog.at_level(logging.WARNING):
        first, second = sampler(logits, none, uniforms), sampler(logits, none, uniforms)
    assert first == Sampler()(logits, none, uniforms)
    assert first == second
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(VOCABULARY) in caplog.text


@pytest.mark.parametrize("broken", [float("nan"), -float("inf")])
@pytest.mark.parametrize("filters", [{}, {"temperature": 0}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.1}], ids=str)
def test_where_no_score_is_left_any_legal_id_is_taken_and_said_once(filters, broken, caplog):
    logits = some_logits(4)
    logits[1] = broken
    bias = torch.full((4, VOCABULARY), -torch.inf)
    bias[:, [5, 50, 250]] = 0
    sampler = Sampler(**filters)
    with caplog.at_level(logging.WARNING):
        chosen = {sampler(logits, bias, [u] * 4)[1] for u in (0.1, 0.5, 0.9)}
    assert chosen == {5, 50, 250}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"temperature": value} for value in (-1, math.nan, math.inf)),
        {"top_k": -1},
        *({"top_p": value} for value in (0, 1.1, math.nan)),
        *({"min_p": value} for value in (-0.1, 2)),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="--" + next(iter(wrong)).replace("_", "-")):
        Sampler(**wrong)


def test_draws_are_a_function_of_seed_and_step():
    steps = DRAWS_PER_REFILL + 20
    together = Draws([7, 8, 9])
    table = np.array([together.step() for _ in range(steps)]).T
    alone = Draws([8])
    np.testing.assert_array_equal(np.array([alone.step() for _ in range(steps)])[:, 0], table[1])
    assert (table >= 0).all()
    assert (table < 1).all()
    assert len(set(table.flatten().tolist())) > 0.99 * table.size
    assert table.mean().item() == pytest.approx(0.5, abs=0.03)


def test_kept_draws_go_on_where_they_were():
    whole, parted = Draws([1, 2, 3]), Draws([1, 2, 3])
    expected = [whole.step() for _ in range(600)]
    for step in range(300):
        assert parted.step() == expected[step]
    parted.keep([2, 0])
    for step in range(300, 600):
        assert parted.step() == [expected[step][2], expected[step][0]]


def test_a_legal_id_with_a_very_low_score_is_not_mistaken_for_none(caplog):
    logits = torch.full((1, VOCABULARY), -300.0)
    logits[0, 9] = -200.0
    with caplog.at_level(logging.WARNING):
        assert Sampler(temperature=0)(logits, torch.zeros(1, VOCABULARY), [0.0]) == [9]
    assert not caplog.records
