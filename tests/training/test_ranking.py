import itertools
import math

import pytest

from aurl.errors import UsageError
from aurl.training.ranking import SAMPLE, VALID, Criterion, Ranked, check_measured, note_best, rank


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("places", [1, 2, 4])
def test_the_ranking_is_the_sorted_beginning_of_all_that_came(mode, places):
    """Over all orders of a few values, some of them equal: earlier steps before later ones."""
    criterion = Criterion("valid/nats_per_note", mode)
    sign = 1 if mode == "min" else -1
    for values in set(itertools.permutations([3.0, 1.0, 2.0, 2.0, 5.0])):
        ranking: list[Ranked] = []
        for step, value in enumerate(values, start=1):
            before = list(ranking)
            has_place = rank(ranking, step, value, criterion, places=places)
            assert has_place == any(one.step == step for one in ranking)
            assert has_place or ranking == before
        expected = sorted(enumerate(values, start=1), key=lambda one: (sign * one[1], one[0]))[:places]
        assert [(one.step, one.value) for one in ranking] == expected


def test_a_step_that_is_measured_again_is_there_once():
    criterion, ranking = Criterion("sample/overlap", "max"), [Ranked(1, 0.5), Ranked(2, 0.4)]
    assert rank(ranking, 2, 0.9, criterion, places=2)
    assert ranking == [Ranked(2, 0.9), Ranked(1, 0.5)]


def test_what_is_no_number_is_never_better():
    for mode in ("min", "max"):
        criterion = Criterion("x", mode)
        assert not any(criterion.better(value, 0.0) for value in (math.nan, math.inf, -math.inf, 0.0))
        assert [criterion.value({"x": value}) for value in (math.nan, None, 2.0)] == [None, None, 2.0]
        assert criterion.value({}) is None


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("valid/elbo_per_note", "min"),
        ("valid/nats_per_token", "min"),
        ("train/loss", "min"),
        ("gradient_norm", "min"),
        ("sample/pitch_class_entropy_overlap", "max"),
        ("sample/overlap", "max"),
        ("valid/active_units_fine", "max"),
        ("valid/shuffled_cost_all", "max"),
        ("train/discriminator_accuracy", "max"),
    ],
)
def test_the_usual_direction(metric, mode):
    assert Criterion.of(metric) == Criterion(metric, mode)
    assert Criterion.of(metric, "max" if mode == "min" else "min").mode != mode


def test_what_is_best_without_a_wish():
    assert Criterion.of("auto") == Criterion("valid/nats_per_note", "min")
    assert Criterion.of("auto", latent=True) == Criterion("valid/elbo_per_note", "min")


def test_patience_needs_one_that_improves():
    criteria = (Criterion("a", "min"), Criterion("b", "max"))
    bests: dict[str, float] = {}
    rounds = [{"a": 2.0}, {"a": 2.0, "b": 1.0}, {"a": 3.0, "b": 1.0}, {"a": 3.0, "b": 1.5}, {"a": 1.0}, {}]
    assert [note_best(bests, criteria, found) for found in rounds] == [True, True, False, True, True, False]
    assert bests == {"a": 1.0, "b": 1.5}


def test_a_number_that_nobody_measures_is_refused():
    asked = (Criterion.of("valid/nats_per_not"), Criterion.of("sample/overlap"), Criterion.of("train/loss"))
    with pytest.raises(UsageError, match="valid/nats_per_not is not measured") as caught:
        check_measured(asked, VALID, ["valid/nats_per_note"])
    assert "valid/nats_per_note" in caught.value.hint
    check_measured(asked[1:], VALID, ["valid/nats_per_note"])
    check_measured(asked, SAMPLE, ["sample/overlap"])
