from dataclasses import replace

import numpy as np
import pytest
from tests.support.known_codes import known_codes

from aurl.latent.metrics.scores import level_metrics
from aurl.latent.report import remarks_on_metrics, remarks_on_stats
from aurl.latent.stats import LevelStats, Stats

GOOD = LevelStats("fine", 4, 32, 50, 4, 4.0, 0.1, (1.0,) * 4, (1.0,) * 4, (0.0,) * 4, 0.5, 0.0, 0.5, 0.3)


def remarks(**changes):
    levels = (replace(GOOD, **changes),)
    return remarks_on_stats(Stats("run", "step-1", "valid", 9, 900, levels, 1.0, 0.9, 1.2, 1.1, 0.3, 0.6))


@pytest.mark.parametrize(
    ("changes", "said", "remedy"),
    [
        ({"active": 0}, "fine level is silent: 0 of 4 units active", "loss.free_bits_fine"),
        ({"active": 1}, "largely empty: 1 of 4", "latent.fine_size = 1"),
        ({"shuffled_cost": 0.001}, "nobody listens to the fine level", "latent.word_dropout"),
        ({"shuffled_cost": 0.001, "name": "global"}, "nobody listens to the global", "latent.level_dropout"),
        ({"gap_of_dimensions": (1.0, 1.0, 0.0, 0.0)}, "2.0 of the 4.0 nats", "loss.free_bits_fine"),
        ({"told_apart": 0.9}, "told apart at the fine level (90% right", "latent.lower_prior"),
        ({"told_apart": 0.9, "tokens": None}, "50% is chance", "richer latent.prior"),
    ],
)
def test_what_is_bad_is_told_with_what_to_do(changes, said, remedy):
    [sentence] = remarks(**changes)
    assert said in sentence
    assert remedy in sentence


def test_nothing_is_said_of_what_is_good():
    assert remarks() == ()
    assert remarks(kl_of_dimensions=None, gap_of_dimensions=None) == ()


def test_metrics_in_words():
    rng = np.random.default_rng(0)
    factors = {"density": rng.standard_normal(400), "register": rng.standard_normal(400)}
    told = np.stack(list(factors.values()), 1)
    own = level_metrics(known_codes(told, factors), "global", resamples=4, seed=0)
    other = level_metrics(known_codes(rng.standard_normal((400, 2)), factors), "global", resamples=4, seed=0)
    [best] = remarks_on_metrics((own,))
    assert "of its variance in held-out pieces" in best
    [nothing] = remarks_on_metrics((other,))
    assert "tells none of the measured factors" in nothing
    no_gap = replace(own, mig=own.mig._replace(low=0.0, chance=0.1))
    assert "aurl inspect-latent attributes" in remarks_on_metrics((no_gap,))[1]
