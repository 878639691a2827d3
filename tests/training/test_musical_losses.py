"""Runs whose losses hear music: stopped anywhere, and shared by two processes."""

import pytest
import torch
from tests.support.events import off, on, shift
from tests.support.training import small_profile, told
from tests.training.test_resume import assert_same, fit_in_sittings

from aurl.loss.reconstruction import Counts
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS, SEP
from aurl.training.acceleration import start_accelerator
from aurl.training.batches import Batch, batch_counts
from aurl.training.learner import build_learner
from aurl.training.steps import Sums, update
from aurl.training.trainer import fit

KINDS = (
    "rhythm_regularity",
    "harsh_intervals",
    "leaps",
    "perceptual_rhythm",
    "perceptual_harmony",
    "perceptual_melody",
)
MUSICAL = {
    "loss__reconstruction": {"kind": "musical", "ordinal": 0.2},
    "loss__terms": {kind: {"weight": 0.1} for kind in KINDS},
}


def test_stopping_anywhere_changes_nothing(dataset, tmp_path):
    profile = small_profile(max_steps=16, log_every=5, **MUSICAL)
    fit(profile, dataset, tmp_path / "whole", threads=1)
    fit_in_sittings(profile, dataset, tmp_path / "parts", [3, 11])
    assert_same(tmp_path / "whole", tmp_path / "parts")
    logged = set().union(*told(tmp_path / "parts"))
    kinds = ("nll_note_on", "nll_note_off", "nll_time_shift", "nll_velocity", "nll_control")
    assert {f"train/{name}" for name in (*KINDS, *kinds, "reconstruction_weighted")} <= logged


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(dataset, tmp_path):
    common = {"max_steps": 8, "model__dropout": 0.0, **MUSICAL}
    one = fit(small_profile(**common, data__batch_size=4), dataset, tmp_path / "one", threads=1)
    two = fit(small_profile(**common, data__batch_size=2), dataset, tmp_path / "two", processes=2, threads=1)
    for name in (*KINDS, "reconstruction_weighted", "loss", "nats_per_token"):
        assert two.metrics[f"train/{name}"] == pytest.approx(one.metrics[f"train/{name}"], rel=1e-3)


def irregularity(time_base, start_steps):
    """Of eight beats, the first of which begins so late, as an update adds it up."""
    ids = torch.tensor([[BOS, SEP, *[on(60), shift(32), off(60)] * 8]])
    targets = ids[:, 1:]
    batch = Batch(ids[:, :-1], targets, targets, torch.tensor([start_steps]), Counts.of(targets))
    profile = small_profile(max_steps=1, loss__terms={"rhythm_regularity": {}})
    accelerator, processes = start_accelerator(profile, device="cpu")
    learner = build_learner(profile, Codec(time_base=time_base), accelerator, None)
    sums = Sums.on(torch.device("cpu"))
    update(learner, [batch], batch_counts([batch]), processes, sums)
    return sums.window().parts["rhythm_regularity"]


def test_updates_know_the_time_and_its_base():
    """What is a 32nd late cannot be worse on the grid, but is even where no beat is known."""
    assert irregularity("beats", 0) > 0
    assert irregularity("beats", 4) == 0
    assert irregularity("seconds", 4) > 0
