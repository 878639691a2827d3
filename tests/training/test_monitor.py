import math

import pytest

from aurl.profile import Training
from aurl.training.monitor import (
    broken_parts,
    describe,
    diverged,
    estimate_horizon,
    metrics_of,
    note_validation,
    progress_note,
    seconds_left,
)
from aurl.training.state import TrainingState, Window


def test_metrics_are_means_of_their_own_counts():
    window = Window(nats=30.0, loss=45.0, tokens=15, notes=5, gradient_norm=6.0, updates=3)
    window.losses, window.largest_norm, window.clipped = [2.0, 3.0, 7.0], 4.0, 2
    assert metrics_of(window) == {
        "train/loss": 3.0,
        "train/nats_per_token": 2.0,
        "train/nats_per_note": 6.0,
        "loss_variance": pytest.approx((4 + 1 + 9) / 3),
        "gradient_norm": 2.0,
        "gradient_norm_max": 4.0,
        "clipped": pytest.approx(2 / 3),
    }
    window.parts |= {"reconstruction": 30.0, "kl_fine": 7.5}
    assert metrics_of(window) | {"train/kl_fine": 0.5} == metrics_of(window)
    assert len(metrics_of(window)) == 8
    window.broken = 1
    assert metrics_of(window)["broken_updates"] == 1


def test_where_no_update_was_made_there_is_nothing_to_tell():
    assert metrics_of(Window(broken=10)) == {"broken_updates": 10}


def test_what_a_discriminator_says_is_a_mean_of_what_it_heard():
    parts = {"discriminator": 12.0, "discriminator_accuracy": 3.0, "adversarial": 1.5, "feature_matching": 6.0}
    parts |= {"discriminator_music": 8.0, "adversarial_music": 1.0, "r1": 3.0, "gradient_penalty": 3.0}
    counts = {"judged": 6.0, "judged_music": 4.0, "heard": 3.0, "heard_music": 2.0, "regularised": 1.5}
    metrics = metrics_of(Window(tokens=15, updates=1, parts=parts | counts))
    assert {name: value for name, value in metrics.items() if value and name.startswith("train/")} == {
        "train/discriminator": 2.0,
        "train/discriminator_accuracy": 0.5,
        "train/discriminator_music": 2.0,
        "train/adversarial": 0.5,
        "train/adversarial_music": 0.5,
        "train/feature_matching": 2.0,
        "train/r1": 2.0,
        "train/gradient_penalty": 0.5,
    }


@pytest.mark.parametrize("name", ["nats", "loss", "gradient_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_anything_that_is_no_number_is_broken(name, value):
    assert broken_parts(Window(**{name: value})) == f"{name.replace('_', ' ')} {value}"


def test_a_part_that_is_no_number_is_named():
    assert broken_parts(Window(parts={"kl_fine": 1.0, "discriminator": math.nan})) == "discriminator nan"


def test_who_is_told_of_divergence_is_told_where_to_go_on():
    told = diverged("loss nan", step=55, good_step=40)
    assert "loss nan before step 55; the last good checkpoint is of step 40" in told.message
    assert "lower training.lr" in told.hint
    assert "aurl train --from RUN@step-00000040" in told.hint
    told = diverged("loss nan", step=55, good_step=0)
    assert "there is no checkpoint yet" in told.message
    assert told.hint.startswith("start again with a lower training.lr")


def test_numbers_are_no_divergence():
    assert broken_parts(Window(nats=1e30, loss=1e30, gradient_norm=1e30)) == ""


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, 700),  # nothing but horizon_steps
        ({"max_steps": 300}, 300),
        ({"max_minutes": 10}, 1200),  # 2 steps a second
        ({"max_minutes": 10, "max_steps": 300}, 300),
        ({"max_minutes": 1}, 120),
        ({"max_minutes": 0.1}, 100),  # late already: never before the step that is reached
    ],
)
def test_horizon_is_the_nearest_bound(bounds, expected):
    state = TrainingState(step=100, seconds=50.0)
    assert estimate_horizon(state, Training(horizon_steps=700, **bounds)) == expected


def test_horizon_of_a_timed_run_that_has_not_begun():
    assert estimate_horizon(TrainingState(), Training(horizon_steps=700, max_minutes=5)) == 700


def test_time_left_is_that_of_the_nearest_bound():
    state = TrainingState(step=100, seconds=50.0)
    assert seconds_left(state, Training(), 50.0) is None
    assert seconds_left(state, Training(max_steps=300), 50.0) == 100.0
    assert seconds_left(state, Training(max_steps=300, max_minutes=2), 50.0) == 70.0
    assert seconds_left(state, Training(max_minutes=0.5), 50.0) == 0.0


def test_patience_is_lost_with_validations_that_improve_nothing():
    state = TrainingState()
    found = []
    for step, (value, improved) in enumerate([(5.0, 1), (6.0, 0), (4.0, 0), (math.nan, 0), (9.0, 1)], start=1):
        state.step, state.has_improved = step, bool(improved)
        note_validation(state, value)
        found.append((state.evaluations_since_best, state.best_step, state.has_improved))
    assert found == [(0, 1, False), (1, 1, False), (2, 3, False), (3, 3, False), (0, 3, False)]
    assert state.best_nats_per_note == 4.0
    note_validation(state, 5.0, patience_counts=False)
    assert state.evaluations_since_best == 0


def test_numbers_for_people():
    assert describe({"step": 12345, "lr": 0.00061234, "tokens_per_second": 12345.6}) == (
        "step 12,345, lr 0.0006123, tokens_per_second 12,346"
    )
    known = {"train/nats_per_token": 1.2345, "tokens_per_second": 4321.0, "lr": 0.1}
    assert progress_note(known) == "1.234 nats/token · 4,321 tokens/s"
    latent = {"train/kl_global": 0.1, "train/kl_fine": 0.22, "train/bag_fine": 9.0}
    assert progress_note(known | latent) == "1.234 + 0.320 KL nats/token · 4,321 tokens/s"
    assert progress_note({}) == ""
