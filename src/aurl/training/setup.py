"""From a run folder to everything that its training needs, as new or as the newest checkpoint left it."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from aurl.augment import Augmenter
from aurl.data.batching import WindowSampler
from aurl.data.curriculum import CURRICULUM
from aurl.data.dataset import DatasetInfo, TokenDataset, open_dataset
from aurl.data.truncation import TRUNCATION
from aurl.errors import DamagedError, UsageError
from aurl.profile import Profile
from aurl.training.batches import BatchStream, ValidationBatches
from aurl.training.checkpoint import RANDOM, Checkpoints, Found, read_tensors
from aurl.training.learner import build_learner
from aurl.training.monitor import estimate_horizon
from aurl.training.processes import Processes
from aurl.training.random_state import seed_process, set_random_tensors
from aurl.training.run import Run, create_run
from aurl.training.session import Session
from aurl.training.state import TrainingState
from aurl.training.styles import style_numbers, styles_of

logger = logging.getLogger(__name__)


def create_checked(folder: Path, profile: Profile, dataset_folder: Path, *, processes: int) -> Run:
    """Make a run folder, once it is known that the data set can be trained on.

    Raises:
        UsageError: the run exists, there is less than one batch, or pieces do not tell what the prior is to know.
        NotFoundError: there is no such data set.
        DamagedError: the data set cannot be read.
    """
    data = open_dataset(dataset_folder)
    _check_size(data)
    _check_conditions(profile, data)
    label = _style_label(profile)
    styles = () if label is None else styles_of(data, label)
    _training_windows(profile, data, styles)
    return create_run(
        folder,
        profile,
        dataset_folder,
        codec=data.codec.signature(),
        data_generation=data.manifest.generation,
        preprocess=data.manifest.prepare["preprocess"],
        seed=profile.training.seed,
        profile_hash=profile.hash,
        processes=processes,
        styles=styles,
    )


def build_session(
    run: Run, profile: Profile, *, accelerator: Accelerator, processes: Processes, found: Found | None
) -> Session:
    """Build everything, then bring it to where `found` stands.

    Raises:
        DamagedError: the checkpoint does not fit the run.
        NotFoundError: the data set is gone.
        UsageError: the data set is another one.
    """
    facts = run.facts()
    data, styles = open_dataset(Path(facts["dataset"])), facts.get("styles", ())
    _check_codec(run, data)
    state = _state(profile, processes, found)
    learner = build_learner(profile, data.codec, accelerator, found, styles)
    train = _training_windows(profile, data, styles)
    stream = _stream(profile, train, processes, state, on_gpu=accelerator.device.type == "cuda")
    section = profile.data
    validation = ValidationBatches(
        valid_windows(profile, data, styles),
        batch_size=section.batch_size,
        batch_tokens=section.batch_tokens,
        rank=processes.rank,
        world=processes.world,
    )
    checkpoints = Checkpoints(run.checkpoints, keep_last=profile.training.keep_last)
    _restore_random(profile, accelerator.device, processes, found)
    return Session(run, profile, processes, data, learner, stream, validation, checkpoints, state)


def _stream(
    profile: Profile, train: TokenDataset, processes: Processes, state: TrainingState, *, on_gpu: bool
) -> BatchStream:
    section = profile.data
    columns = train.pieces.columns
    curriculum = None if section.curriculum is None else CURRICULUM.from_component(section.curriculum, columns)
    sampler = WindowSampler(
        train,
        batch_size=section.batch_size,
        batch_tokens=section.batch_tokens,
        curriculum=curriculum,
        seed=profile.training.seed,
        rank=processes.rank,
        world=processes.world,
    )
    return BatchStream(
        train,
        sampler,
        workers=section.workers,
        prefetch=section.prefetch,
        pin_memory=on_gpu,
        epoch=state.epoch,
        batch=state.batch,
    )


def _training_windows(profile: Profile, data: DatasetInfo, styles: Sequence[str]) -> TokenDataset:
    section = profile.data
    augment = Augmenter(section.augment, time_base=data.codec.time_base) if section.augment else None
    truncation = TRUNCATION.from_component(section.truncation)
    return TokenDataset(
        data.folder,
        "train",
        seq_len=section.seq_len,
        truncation=truncation,
        augment=augment,
        hybrid=section.hybrid,
        styles=_style_numbers(profile, data, "train", styles),
    )


def valid_windows(profile: Profile, data: DatasetInfo, styles: Sequence[str]) -> TokenDataset:
    """The windows that a run is validated on: they cover every target of the valid split once."""
    section = profile.data
    numbers = _style_numbers(profile, data, "valid", styles)
    return TokenDataset(data.folder, "valid", seq_len=section.seq_len, hybrid=section.hybrid, styles=numbers)


def _style_label(profile: Profile) -> str | None:
    return profile.latent.style if profile.model.mode != "transformer" else None


def _style_numbers(profile: Profile, data: DatasetInfo, split: str, styles: Sequence[str]) -> NDArray[np.int64] | None:
    label = _style_label(profile)
    return style_numbers(data, split, label, styles) if label is not None and styles else None


def _state(profile: Profile, processes: Processes, found: Found | None) -> TrainingState:
    """Where the run stands; its place in the epoch is translated where there are other processes than before."""
    if found is None:
        state = TrainingState()
    else:
        state = TrainingState.from_json(found.state.get("training"))
        before, now = found.state["processes"], processes.world
        if before != now:
            logger.warning("%d processes, %d before: the run goes on, but not bit by bit as it would have", now, before)
        state.batch = state.batch * before // now
    if found is None or profile.training.max_minutes is None:
        state.horizon_steps = estimate_horizon(state, profile.training)
    return state


def _check_codec(run: Run, data: DatasetInfo) -> None:
    if run.facts()["codec"] != data.codec.signature():
        raise UsageError(
            f"{data.folder} is not spelt as the data set that {run.folder.name} was started with",
            hint="name the right data set, or start a new run",
        )
    if run.facts()["data_generation"] != data.manifest.generation:
        logger.warning("%s has changed since the run was started: it goes on with what is there now", data.folder)


def _check_size(data: DatasetInfo) -> None:
    if not data.splits["train"].pieces:
        raise UsageError(
            f"the train split of {data.folder} is empty", hint="prepare more files, or choose another prepare.split"
        )


def _check_conditions(profile: Profile, data: DatasetInfo) -> None:
    untold = sorted(set(profile.latent.conditions) - set(data.codec.header))
    if profile.model.mode != "transformer" and untold:
        raise UsageError(
            f"latent.conditions names {untold[0]}, which no header of {data.folder} tells",
            hint=f"prepare the data set with {untold[0]} in tokens.header, or leave the condition out",
        )


def _restore_random(profile: Profile, device: torch.device, processes: Processes, found: Found | None) -> None:
    seed_process(profile.training.seed, processes.rank + 1)
    if found is None:
        return
    own = f"{processes.rank}."
    states = {
        name.removeprefix(own): state
        for name, state in read_tensors(found.folder, RANDOM).items()
        if name.startswith(own)
    }
    if not states and processes.rank < found.state["processes"]:
        raise DamagedError(f"{found.folder} has no random state of process {processes.rank}")
    if states:
        set_random_tensors(states, device)
