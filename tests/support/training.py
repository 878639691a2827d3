"""A small real data set, runs on it that take a second, and what of a run must not depend on how often it stopped."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from aurl.data.prepare import prepare
from aurl.midi.score import Notes, Score, Track
from aurl.midi.write import write_midi
from aurl.profile import Profile, load_profile
from aurl.training.log import read_metrics

SMALL = {
    "data.seq_len": 48,
    "data.batch_size": 4,
    "model.d_model": 16,
    "model.n_layers": 2,
    "model.n_heads": 2,
    "model.dropout": 0.2,
    "training.precision": "fp32",
    "training.lr": 3e-3,
    "training.warmup_steps": 10,
    "training.log_every": 1,
    "training.eval_every": 20,
    "training.checkpoint_every": 10,
    "training.sample_every": 0,
    "training.sample_seconds": 2.0,
}
SMALL_LATENTS = {
    "latent.global_size": 16,
    "latent.local_size": 16,
    "latent.fine_size": 16,
    "latent.local_tokens": 16,
    "latent.fine_tokens": 8,
    "latent.stream_size": 16,
    "latent.segment_layers": 1,
    "latent.word_dropout": 0.3,
    "latent.word_dropout_end": 0.0,
    "loss.beta": 1.0,
    "latent.word_dropout_until": 0.6,
    "loss.kl_schedule": {"kind": "exponential", "start": 0.01, "hold": 0.2, "full": 0.6},
}
SMALL_DISCRIMINATOR = {
    "discriminator.scales": [8, 16, 32],
    "discriminator.width": 16,
    "discriminator.depth": 1,
    "discriminator.start": 0.2,
    "discriminator.stages": [0.0, 0.3, 0.6],
    "discriminator.warm_start": 0,
    "discriminator.skip_above": 1.0,
    "discriminator.skip_below": 0.0,
    "discriminator.harm": 0.0,
}
CLOCKS = ("tokens_per_second", "share_of_peak", "seconds", "eta_seconds", "memory_mib", "cuda_mib")
"""Metrics that depend on the machine."""


def small_profile(**training) -> Profile:
    """A model that learns a step in milliseconds; keywords are keys of `training`, or dotted keys with `__`."""
    given = {key.replace("__", ".") if "__" in key else f"training.{key}": value for key, value in training.items()}
    return load_profile(flags={**SMALL, **given})


def latent_profile(mode: str, **training) -> Profile:
    """A small model with latents, in mode `vae` or `vae_gan`; keywords as for `small_profile`."""
    given = SMALL_LATENTS | (SMALL_DISCRIMINATOR if mode == "vae_gan" else {})
    dotted = {key.replace(".", "__"): value for key, value in given.items()}
    return small_profile(**{"model__mode": mode, **dotted, **training})


def melody(seed: int, notes: int = 40) -> bytes:
    """A random walk over a scale, as a MIDI file."""
    rng = np.random.default_rng(seed)
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72, 74, 76])
    steps = np.clip(np.cumsum(rng.integers(-2, 3, notes)) + 5, 0, len(scale) - 1)
    lengths = rng.choice([120, 240, 480], notes)
    onset = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    velocity = rng.integers(40, 100, notes)
    return write_midi(Score(tracks=(Track(Notes(onset, lengths, scale[steps], velocity)),)))


def write_dataset(
    folder: Path,
    *,
    pieces: int = 24,
    valid: int = 4,
    composers: Sequence[str] = (),
    header: Sequence[str] = ("tempo", "time_signature", "key"),
) -> Path:
    """A prepared data set of melodies; piece n is labelled with composer n, if there are any."""
    midi = folder / "midi"
    for number in range(pieces):
        name = "valid" if number < valid else "train"
        file = midi / (composers[number] if composers else "") / f"{name}-{number}.mid"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(melody(number, notes=20 + number))
    flags = {"prepare.split": {"kind": "glob", "valid": ["*/valid-*"]}, "tokens.header": list(header)}
    flags |= {"prepare.labels": ["{composer}/*"]} if composers else {}
    profile = load_profile(flags=flags, check={"preprocess", "split"})
    prepare([midi], profile, folder / "dataset", jobs=1)
    return folder / "dataset"


def told(run: Path) -> list[dict[str, object]]:
    """The run's metrics without those of the machine."""
    records = read_metrics(run / "metrics.jsonl")
    return [{name: value for name, value in record.items() if name not in CLOCKS} for record in records]


def tensors(run: Path) -> dict[str, bytes]:
    """Every tensor of the newest checkpoint, bit by bit."""
    folder = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    return {
        f"{path.stem}/{name}": array.tobytes()
        for path in sorted(folder.glob("*.safetensors"))
        for name, array in load_file(path).items()
    }


def facts(run: Path) -> dict[str, object]:
    """What run.json says."""
    return json.loads((run / "run.json").read_text())
