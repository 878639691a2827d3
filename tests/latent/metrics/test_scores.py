import numpy as np
import pytest
from tests.support.known_codes import known_codes

from aurl.errors import UsageError
from aurl.latent.metrics.scores import NAMES, level_metrics

COUNT = 800


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(COUNT) for name in ("density", "register", "dynamics")}


def measured(mean, factors, labels=None, resamples=8):
    return level_metrics(known_codes(mean, factors, labels), "global", resamples=resamples, seed=0)


def test_codes_that_are_the_factors_score_one_and_chance_does_not(factors):
    noise = np.random.default_rng(1).standard_normal((COUNT, 2))
    mean = np.concatenate([np.stack(list(factors.values()), 1), 0.5 * noise], 1)
    found = measured(mean, factors)
    for name in NAMES:
        score = getattr(found, name)
        assert score.value > 0.95, name
        assert score.low <= score.value <= score.high <= 1
    assert found.mig.chance < 0.05
    assert found.informativeness.chance < 0.05
    assert [factor.code for factor in found.factors] == [0, 1, 2]
    assert [factor.name for factor in found.factors] == list(factors)
    assert np.array(found.importance).shape == (5, 3)
    assert np.array(found.importance)[:3].argmax(1).tolist() == [0, 1, 2]
    assert (found.latents, found.pieces, found.size) == (COUNT, 40, 5)


def test_rotated_codes_are_informative_and_not_disentangled(factors):
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    found = measured(np.stack(list(factors.values()), 1) @ turn, factors)
    assert found.informativeness.value > 0.95
    assert found.mig.value < 0.4
    assert found.sap.value < 0.6
    assert found.disentanglement.value < 0.6


def test_codes_of_something_else_tell_nothing(factors):
    found = measured(np.random.default_rng(5).standard_normal((COUNT, 4)), factors)
    assert found.informativeness.high < 0.02
    assert found.mig.value < 0.05


def test_labels_are_factors_and_rare_ones_are_not(factors):
    composer = np.array(["Bach", "Mozart"])[np.arange(COUNT) // 40 % 2]
    rare = np.where(np.arange(COUNT) < 25, "once", "often")  # of two pieces
    mean = np.stack([factors["density"], (composer == "Bach") * 2.0], 1)
    found = measured(mean, factors, {"composer": composer.tolist(), "form": rare.tolist()}, resamples=2)
    [label] = [factor for factor in found.factors if factor.is_label]
    assert (label.name, label.code) == ("composer", 1)
    assert label.mig > 0.9
    assert label.sap > 0.4  # 1 less the half that is right by chance
    assert label.explained > 0.95


def test_what_is_unknown_or_constant_is_left_out(factors):
    constant, seldom = np.ones(COUNT), np.where(np.arange(COUNT) % 2, np.nan, 1.0 * np.arange(COUNT))
    partly = np.where(np.arange(COUNT) % 10, factors["register"], np.nan)
    given = {"density": factors["density"], "a": constant, "b": seldom, "c": partly}
    found = measured(np.stack(list(factors.values()), 1), given, resamples=0)
    assert [factor.name for factor in found.factors] == ["density", "c"]
    assert found.latents == COUNT * 9 // 10
    assert found.mig.low == found.mig.high == found.mig.value


def test_too_little_is_told(factors):
    with pytest.raises(UsageError, match="factors that vary") as caught:
        measured(np.zeros((COUNT, 2)), {"density": np.ones(COUNT)})
    assert "--windows" in caught.value.hint
    few = {name: values[:6] for name, values in factors.items()}
    with pytest.raises(UsageError, match="6 global latents"):
        measured(np.zeros((6, 2)), few)
