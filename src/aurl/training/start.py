"""Other runs that a run works with: the one whose weights it starts from, and its teacher."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.generation.load import AVERAGES, BEST, CHECKPOINTS, MODEL_FILE, find_checkpoint
from aurl.home import Home
from aurl.model.weights import load_state, read_weights
from aurl.profile import Profile, read_resolved
from aurl.profile.idle import is_at_least
from aurl.profile.stages import LOOSE
from aurl.storage import link_or_copy, read_json, sha256_file, verify_manifest

logger = logging.getLogger(__name__)
START_NAME = "start.safetensors"
"""In a run's folder: the weights that it started from, so that it needs nobody else's files to start again."""
WITH_LATENTS = "vae"
LATENT_PARTS = ("decoder.hearing", "encoder", "latent_stream", "prior", "bags", "echo")
"""Modules that a model has if it has latents."""


@dataclass(frozen=True)
class Source:
    """A checkpoint of another run, whole.

    Args:
        run: its folder.
        checkpoint: folder of the checkpoint.
        weights: the file of those that were validated: the average where there is one.
        profile: the run's.
        codec: signature of its codec.
        styles: names of those that its prior can be told.
    """

    run: Path
    checkpoint: Path
    weights: Path
    profile: Profile
    codec: Mapping[str, Any]
    styles: tuple[str, ...]

    def facts(self) -> dict[str, str]:
        """What another run keeps of it."""
        return {
            "name": self.run.name,
            "run": str(self.run),
            "checkpoint": self.checkpoint.name,
            "weights": self.weights.name,
            "sha256": sha256_file(self.weights),
        }


def find_named(named: str, home: Home) -> Path:
    """The folder of `RUN` (name or folder), or of a checkpoint of it: `RUN@best`, `RUN@latest`, `RUN@step-…`.

    Raises:
        NotFoundError: there is no such run or checkpoint.
    """
    run, at, checkpoint = named.rpartition("@")
    return find_checkpoint(home.run(run), checkpoint) if at else home.run(named)


def run_of(folder: Path) -> Path:
    """The run's folder, of that itself or of one of its checkpoints."""
    return folder.parent.parent if folder.parent.name == CHECKPOINTS else folder


def open_source(folder: Path) -> Source:
    """The run in `folder` (its best checkpoint), or the run and the checkpoint that `folder` is.

    Raises:
        NotFoundError: it is no run, or has no checkpoint.
        DamagedError: a file is missing or differs from its checksum.
    """
    folder = folder.resolve()
    run = run_of(folder)
    if not (run / "run.json").is_file():
        raise NotFoundError(f"{run} is no run: it has no run.json", hint="name a run, or a checkpoint in it")
    checkpoint = find_checkpoint(run, BEST if folder == run else folder.name)
    covered = verify_manifest(checkpoint)
    weights = next((name for name in (*AVERAGES, MODEL_FILE) if name in covered), None)
    facts = read_json(run / "run.json")
    if weights is None or "codec" not in facts:
        raise DamagedError(f"{checkpoint} has no weights that could be used")
    profile, styles = read_resolved(run / "profile.toml"), tuple(facts.get("styles", ()))
    return Source(run, checkpoint, checkpoint / weights, profile, facts["codec"], styles)


def check_codec(source: Source, codec: Mapping[str, Any], what: str) -> None:
    """Make sure that both mean the same by ids.

    Args:
        source: the other run.
        codec: signature of this run's.
        what: how the other run is called.

    Raises:
        UsageError: they do not; the message names the first difference.
    """
    for key in sorted({*codec, *source.codec}):
        if codec.get(key) != source.codec.get(key):
            raise UsageError(
                f"{what} {source.run.name} spells music in other ids: {key} is {source.codec.get(key)!r} there"
                f" and {codec.get(key)!r} here",
                hint="take the data set that it was trained on, or one that was prepared like it",
            )


def check_start(source: Source, profile: Profile, codec: Mapping[str, Any], styles: Sequence[str]) -> None:
    """Make sure that a run of `profile` can go on with these weights.

    A model with latents may begin with the decoder of one that has none.

    Raises:
        UsageError: it cannot; the message names the first key that differs.
    """
    check_codec(source, codec, "the run")
    there, here = source.profile, profile
    if not is_at_least(here.model.mode, WITH_LATENTS) and is_at_least(there.model.mode, WITH_LATENTS):
        raise _differs("model.mode", there.model.mode, here.model.mode, source)
    gains_latents = _gains_latents(source, profile)
    if gains_latents and profile.training.lora is not None:
        raise UsageError(
            f"adapters cannot learn what latents are, and {source.run.name} has none",
            hint="leave training.lora out, or start from a run of mode vae",
        )
    with_latents = is_at_least(here.model.mode, WITH_LATENTS) and not gains_latents
    tables = ("model", "controls", *["latent"] * with_latents)
    values = there.values()
    for key, value in here.values().items():
        if key.partition(".")[0] in tables and key not in LOOSE and key != "model.mode" and values[key] != value:
            raise _differs(key, values[key], value, source)
    if "latent" in tables and profile.latent.style and tuple(styles) != source.styles:
        raise UsageError(
            f"the styles of this data set are not those of {source.run.name}",
            hint="take its data set, or leave latent.style out of both",
        )


def _gains_latents(source: Source, profile: Profile) -> bool:
    before = is_at_least(source.profile.model.mode, WITH_LATENTS)
    return is_at_least(profile.model.mode, WITH_LATENTS) and not before


def _differs(key: str, there: Any, here: Any, source: Source) -> UsageError:
    return UsageError(
        f"{key} is {here!r}, and {there!r} in {source.run.name}, whose weights do not fit",
        hint=f"leave {key} as it is there: models are taken over from --from where nothing else is said",
    )


def keep_start(source: Source, run_folder: Path) -> None:
    """Put the weights into a run's folder."""
    link_or_copy(source.weights, run_folder / START_NAME)


def load_start(model: nn.Module, run_folder: Path) -> None:
    """Give `model` the weights that its run starts from; parts that they do not have stay as they are.

    Raises:
        DamagedError: the file is missing, or not what the run began with.
    """
    path = run_folder / START_NAME
    found = read_weights(path)
    new = {name: tensor for name, tensor in model.state_dict().items() if name not in found and _part(name)}
    if new:
        logger.info(
            "begun as new, for the weights to start from have none: %s", ", ".join(sorted(set(map(_part, new))))
        )
    load_state(model, new | found, path)


def _part(name: str) -> str:
    """The part of a model with latents, and of no other, that a tensor belongs to; "" for none."""
    return next((part for part in LATENT_PARTS if name.startswith(f"{part}.")), "")
