"""Run folders with untrained models, written by the code that training uses."""

from pathlib import Path

import torch

from aurl.model.build import build_model
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.training.checkpoint import EMA, MODEL, OPTIMIZER, RANDOM, Checkpoints
from aurl.training.run import create_run

TINY = ["model.d_model=32", "model.n_layers=2", "model.n_heads=2", "data.seq_len=64", "generation.max_seconds=8"]
NOTHING = {"empty": torch.zeros(1)}


def write_run(folder: Path, codec: Codec, *, overrides=(), steps=(100,), best=0, ema=True, **facts) -> Path:
    """A run with one checkpoint per step, whose weights differ from each other and from their averages."""
    profile, styles = load_profile(["transformer"], [*TINY, *overrides]), facts.get("styles", ())
    run = create_run(folder, profile, folder.parent / "dataset", codec=codec.signature(), **facts)
    checkpoints = Checkpoints(run.checkpoints, keep_last=10)
    for step in steps:
        torch.manual_seed(step)
        groups = {MODEL: build_model(profile, codec, styles).state_dict(), OPTIMIZER: NOTHING, RANDOM: NOTHING}
        if ema:
            groups[EMA] = build_model(profile, codec, styles).state_dict()
        checkpoints.save(step, groups, {}, ranking=[best] if best else [])
    return run.folder
