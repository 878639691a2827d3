"""From a run folder to a model that can generate, reading nothing that could run."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.model.build import build_model, model_codec
from aurl.model.packing import pack_linears
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights
from aurl.profile import Profile, read_resolved
from aurl.profile.load import at_stage
from aurl.storage import read_json, verify_manifest
from aurl.tokens.codec import Codec

CHECKPOINTS = "checkpoints"
BEST, LATEST = "best", "latest"
STEP_PREFIX, AVERAGE_PREFIX = "step-", "average-"
MODEL_FILE, EMA_FILE, SWA_FILE = "model.safetensors", "ema.safetensors", "swa.safetensors"
AVERAGES = (SWA_FILE, EMA_FILE)
"""Files of averaged weights, first what was validated where there are both."""
STATE_FILE = "state.json"
POINTER_BYTES = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A trained model and what belongs to it.

    Args:
        model: in evaluation mode, its weights packed for inference unless that was not wanted.
        codec: of its ids.
        profile: the run's, as it was in the stage that the checkpoint is of.
        preprocess: what was done to the pieces of its data set, as profile components.
        run: folder of the run.
        checkpoint: folder of the checkpoint.
        is_average: the weights are an average (SWA or EMA).
        parameters: how many the model has.
    """

    model: MusicTransformerVAEGAN
    codec: Codec
    profile: Profile
    preprocess: Sequence[Mapping[str, Any]]
    run: Path
    checkpoint: Path
    is_average: bool
    parameters: int

    @property
    def step(self) -> int:
        """Updates that the model has had; of a mean of checkpoints the newest one's."""
        return int(self.checkpoint.name.split("-")[1])


def load_run(
    run: Path, *, checkpoint: str = BEST, ema: bool = True, device: str = "cpu", packed: bool = True
) -> Loaded:
    """The model of a run.

    Args:
        run: its folder.
        checkpoint: "best" (by validation; the latest where there has been none), "latest", or a name in `checkpoints/`.
        ema: prefer the averaged weights where the run kept them.
        device: where the model is to be.
        packed: lay the weights out for inference; they cannot be changed or learned from any more.

    Raises:
        NotFoundError: there is no such run or checkpoint.
        DamagedError: a file differs from its checksum, cannot be read or does not fit.
    """
    facts = read_json(run / "run.json") if (run / "run.json").is_file() else None
    if facts is None:
        raise NotFoundError(f"{run} is no run: it has no run.json", hint="train a model first: aurl train")
    if not isinstance(facts, dict) or "codec" not in facts:
        raise DamagedError(f"{run / 'run.json'} does not say how the run's ids are made")
    folder = find_checkpoint(run, checkpoint)
    checked = _checked(folder)
    profile = _profile_of(run, folder)
    codec = model_codec(profile, Codec.from_signature(facts["codec"]))
    weights = next((name for name in AVERAGES if ema and name in checked), MODEL_FILE)
    is_average = weights in AVERAGES
    model = build_model(profile, codec, facts.get("styles", ()))
    load_weights(model, folder / weights)
    logger.info("model of %s, %s%s", run.name, folder.name, " (averaged weights)" if is_average else "")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    ready = model.to(torch.device(device)).eval()
    if packed:
        pack_linears(ready)
    preprocess = facts.get("preprocess", profile.prepare.preprocess)
    return Loaded(ready, codec, profile, preprocess, run, folder, is_average, parameters)


def _profile_of(run: Path, checkpoint: Path) -> Profile:
    """The run's profile in the stage that the checkpoint is of."""
    profile = read_resolved(run / "profile.toml")
    if not profile.stages:
        return profile
    state = read_json(checkpoint / STATE_FILE).get("training", {"stage": len(profile.stages) - 1})
    has_just_begun = state["stage"] > 0 and state.get("step") is not None and state["step"] == state["stage_step"]
    return at_stage(profile, state["stage"] - has_just_begun)


def find_checkpoint(run: Path, name: str = BEST) -> Path:
    """The folder of a checkpoint.

    Raises:
        NotFoundError: the run has none, or none of this name.
        DamagedError: a pointer names no checkpoint.
    """
    folder = run / CHECKPOINTS
    known = sorted(path.name for path in folder.glob(f"{STEP_PREFIX}*") if path.is_dir()) if folder.is_dir() else []
    if not known:
        raise NotFoundError(
            f"{run} has no checkpoint yet", hint="let it train until the first one is saved: aurl resume"
        )
    if name in (BEST, LATEST):
        pointers = [name, LATEST] if name == BEST else [name]
        pointer = next((folder / pointer for pointer in pointers if (folder / pointer).is_file()), None)
        name = _pointed(pointer) if pointer is not None else known[-1]
    known += sorted(path.name for path in folder.glob(f"{AVERAGE_PREFIX}*") if path.is_dir())
    if name in known:
        return folder / name
    raise NotFoundError(f"{run} has no checkpoint {name!r}", hint=f"known: {BEST}, {LATEST}, {', '.join(known)}")


def _pointed(pointer: Path) -> str:
    with pointer.open("rb") as file:
        text = file.read(POINTER_BYTES)
    name = text.decode(errors="replace").strip()
    if not (pointer.parent / name).is_dir() or not name.startswith(STEP_PREFIX):
        raise DamagedError(
            f"{pointer} names {name!r}, which is no checkpoint", hint="name one yourself: --checkpoint step-…"
        )
    return name


def _checked(folder: Path) -> frozenset[str]:
    """Names of the checkpoint's files once they match their checksums."""
    try:
        covered = frozenset(verify_manifest(folder))
    except DamagedError as error:
        others = sorted(other.name for other in folder.parent.glob(f"{STEP_PREFIX}*") if other != folder)
        hint = f"take another one: --checkpoint {others[-1]}" if others else "no other checkpoint is left: train again"
        raise DamagedError(error.message, hint=hint) from error
    if MODEL_FILE not in covered:
        raise DamagedError(f"{folder} has no checksum of {MODEL_FILE}", hint="take another checkpoint")
    return covered


def choose_device(name: str = "auto") -> str:
    """The device called `name`; "auto" is a CUDA GPU where there is one, else the CPU.

    Raises:
        UsageError: it is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=name).device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"there is no device {name!r}", hint=str(error).splitlines()[0]) from error
