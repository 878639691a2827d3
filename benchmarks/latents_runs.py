"""Runs that can be compared: one mode each, the same data, seed and steps, and as many parameters."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aurl.model.build import build_model
from aurl.profile import Profile, load_profile
from aurl.profile.idle import FIRST_MODE, ORDER
from aurl.progress import Progress
from aurl.tokens.codec import Codec
from aurl.training.run import Run
from aurl.training.trainer import fit, resume

PROFILE = Path(__file__).with_name("pop909.toml")
TOLERANCE = 0.02
LARGEST = 2
"""The transformer may become so many times as deep and as wide to have as many parameters."""
STEPS_PER_LINE = 50
SECONDS_PER_MINUTE = 60
FINISHED = "finished"


@dataclass(frozen=True)
class Recipe:
    """What all runs share.

    Args:
        size: a shipped profile.
        overrides: `KEY=VALUE`, over everything; each run takes those that count in its mode.
    """

    size: str
    overrides: Sequence[str]

    def profile(self, label: str, **bounds: Any) -> Profile:
        """The profile of a run: `MODE`, or `MODE:PRIOR` for another kind of prior on all levels."""
        mode, _, prior = label.partition(":")
        flags = {"model.mode": mode} | {f"training.{key}": value for key, value in bounds.items() if value is not None}
        if prior:
            flags |= {"latent.prior": {"kind": prior}, "latent.lower_prior": {"kind": prior}}
        if mode == "transformer":
            flags |= self._as_large_as(parameters_of(self.profile("vae")))
        return self._load(flags)

    def equal_decoder(self, mode: str, **flags: Any) -> Profile:
        """The profile of a mode whose decoder is that of all modes, whatever stands beside it."""
        return self._load({"model.mode": mode, **flags})

    def _load(self, flags: dict[str, Any]) -> Profile:
        overrides = [override for override in self.overrides if _counts(override, flags["model.mode"])]
        return load_profile(["vae", self.size, str(PROFILE)], overrides, flags=flags)

    def _as_large_as(self, parameters: int) -> dict[str, int]:
        """Depth and width that give a transformer so many parameters; its shape changes as little as possible."""
        base = self._load({"model.mode": "transformer"})
        shape = base.model.d_model / base.model.n_layers
        near = [
            (abs(math.log(d_model / n_layers / shape)), {"model.n_layers": n_layers, "model.d_model": d_model})
            for n_layers, d_model in _shapes(base)
            if abs(_parameters(base, n_layers, d_model) / parameters - 1) <= TOLERANCE
        ]
        if not near:
            raise SystemExit(f"no transformer of this shape has {parameters:,} parameters")
        return min(near, key=lambda found: found[0])[1]


def _counts(override: str, mode: str) -> bool:
    """Whether the key has an effect in this mode; profiles refuse keys that have none."""
    key = override.partition("=")[0]
    first = FIRST_MODE.get(key) or FIRST_MODE.get(key.partition(".")[0])
    return first is None or ORDER.index(mode) >= ORDER.index(first)


def _shapes(base: Profile) -> Iterator[tuple[int, int]]:
    layers, width, heads = base.model.n_layers, base.model.d_model, base.model.n_heads
    for n_layers in range(layers, LARGEST * layers + 1):
        for d_model in range(width, LARGEST * width + 1, 2 * heads):
            yield n_layers, d_model


def _parameters(base: Profile, n_layers: int, d_model: int) -> int:
    model = base.model.model_copy(update={"n_layers": n_layers, "d_model": d_model})
    return parameters_of(base.model_copy(update={"model": model}))


def parameters_of(profile: Profile) -> int:
    """Of everything but a discriminator, which is thrown away."""
    codec = Codec(time_base=profile.tokens.time_base, parts=profile.tokens.parts, header=profile.tokens.header)
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(profile, codec).parameters())


def train(
    recipe: Recipe,
    labels: Sequence[str],
    home: Path,
    *,
    minutes: float,
    steps: int | None,
    processes: int,
    threads: int,
) -> dict[str, Path]:
    """Label → finished run; what is there already goes on where it stopped.

    Unless `steps` is given, the first run has `minutes` and the others as many steps as it.
    """
    runs = {}
    for label in labels:
        runs[label] = run = home / label.replace(":", "-")
        if not _is_there(run):
            profile = recipe.profile(label, max_steps=steps, max_minutes=None if steps else minutes)
            print(f"{label}: {parameters_of(profile):,} parameters, {_shape(profile)}", flush=True)
            fit(profile, home / "dataset", run, processes=processes, threads=threads, report=_show)
        elif Run(run).facts()["status"] != FINISHED:
            resume(run, threads=threads, report=_show)
        facts = Run(run).facts()
        took = facts["seconds"] / SECONDS_PER_MINUTE
        print(f"{label}: {facts['step']} steps in {took:.1f} minutes, best {facts['best_step']}", flush=True)
        steps = steps or facts["step"]
    return runs


def _shape(profile: Profile) -> str:
    return f"{profile.model.n_layers} layers of width {profile.model.d_model}"


def _is_there(run: Path) -> bool:
    return (run / "run.json").is_file()


def _show(progress: Progress) -> None:
    if progress.task == "train" and progress.done % STEPS_PER_LINE == 0:
        print(f"  step {progress.done}: {progress.note}", flush=True)
