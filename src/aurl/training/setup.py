"""From a run folder to everything that its training needs, as new or as the newest checkpoint left it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from aurl.model.build import build_controls
from aurl.profile import Profile
from aurl.profile.load import at_stage
from aurl.training.batches import BatchStream, ValidationBatches
from aurl.training.checkpoint import RANDOM, Checkpoints, Found, read_tensors
from aurl.training.distillation import find_teacher
from aurl.training.learner import build_learner
from aurl.training.monitor import estimate_horizon
from aurl.training.processes import Processes
from aurl.training.random_state import seed_process, set_random_tensors
from aurl.training.rollback import Rollback, apply_rollbacks, read_rollbacks
from aurl.training.run import Run, create_run
from aurl.training.session import Session
from aurl.training.sharding import check_sharding
from aurl.training.stages import profile_before, profile_now
from aurl.training.start import Source, check_start, keep_start, open_source
from aurl.training.state import TrainingState
from aurl.training.styles import style_numbers, styles_of
from aurl.training.trackers import check_trackers
from aurl.training.watcher import check_criteria

logger = logging.getLogger(__name__)


def create_checked(
    folder: Path | Callable[[], Path],
    profile: Profile,
    dataset_folder: Path,
    *,
    processes: int,
    start_from: Path | None = None,
) -> Run:
    """Make a run folder, once it is known that the data set can be trained on; only then `folder` may be asked for it.

    Raises:
        UsageError: the run exists, there is less than one batch, pieces do not tell what the prior is to know, a
            tracker is not installed, or what decides which checkpoint is best is not measured.
        NotFoundError: there is no such data set.
        DamagedError: the data set cannot be read.
    """
    check_trackers(profile.training.trackers)
    check_criteria(profile)
    data = open_dataset(dataset_folder)
    _check_size(data)
    _check_conditions(profile, data)
    label = _style_label(profile)
    styles = () if label is None else styles_of(data, label)
    for number in range(max(1, len(profile.stages))):
        check_sharding(at_stage(profile, number))
        _training_windows(at_stage(profile, number), data, styles)
    source = _start(profile, data, styles, start_from)
    run = create_run(
        folder if isinstance(folder, Path) else folder(),
        profile,
        dataset_folder,
        codec=data.codec.signature(),
        data_generation=data.manifest.generation,
        preprocess=data.manifest.prepare["preprocess"],
        seed=profile.training.seed,
        profile_hash=profile.hash,
        processes=processes,
        styles=styles,
        **_others(profile, data, source),
    )
    if source is not None:
        keep_start(source, run.folder)
    return run


def _start(profile: Profile, data: DatasetInfo, styles: Sequence[str], start_from: Path | None) -> Source | None:
    """The run to start from, if its weights fit."""
    if start_from is None:
        if profile.training.lora is not None:
            raise UsageError("training.lora adapts the weights of another run", hint="name it: --from RUN")
        return None
    source = open_source(start_from)
    check_start(source, profile, data.codec.signature(), styles)
    return source


def _others(profile: Profile, data: DatasetInfo, source: Source | None) -> dict[str, Any]:
    """What `run.json` keeps of other runs that this one needs, or comes from."""
    facts = {} if source is None else {"parent": source.facts()}
    if profile.training.teacher is not None:
        facts["teacher"] = find_teacher(profile.training.teacher, data.codec.signature()).facts()
    return facts


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
    state = _state(profile, processes, found, read_rollbacks(run.events))
    whole, profile = profile, profile_now(profile, state)
    learner = build_learner(
        profile,
        data.codec,
        accelerator,
        found,
        styles,
        before=profile_before(whole, state),
        start=run.folder if "parent" in facts else None,
        teacher=facts.get("teacher"),
    )
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
    checkpoints = checkpoints_of(run, profile)
    _restore_random(profile, accelerator.device, processes, found)
    return Session(run, profile, processes, data, learner, stream, validation, checkpoints, state, whole)


def _stream(
    profile: Profile, train: TokenDataset, processes: Processes, state: TrainingState, *, on_gpu: bool
) -> BatchStream:
    section = profile.data
    columns = train.pieces.columns
    curriculum = None if section.curriculum is None else CURRICULUM.from_component(section.curriculum, columns)
    if curriculum is not None:
        curriculum = replace(curriculum, first_epoch=state.stage_epoch)
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
        controls=build_controls(profile, data.codec, training=True),
        hybrid=section.hybrid,
        styles=_style_numbers(profile, data, "train", styles),
    )


def valid_windows(profile: Profile, data: DatasetInfo, styles: Sequence[str]) -> TokenDataset:
    """The windows that a run is validated on: they cover every target of the valid split once."""
    section = profile.data
    numbers = _style_numbers(profile, data, "valid", styles)
    return TokenDataset(
        data.folder,
        "valid",
        seq_len=section.seq_len,
        controls=build_controls(profile, data.codec, training=False),
        hybrid=section.hybrid,
        styles=numbers,
    )


def _style_label(profile: Profile) -> str | None:
    return profile.latent.style if profile.model.mode != "transformer" else None


def _style_numbers(profile: Profile, data: DatasetInfo, split: str, styles: Sequence[str]) -> NDArray[np.int64] | None:
    label = _style_label(profile)
    return style_numbers(data, split, label, styles) if label is not None and styles else None


def checkpoints_of(run: Run, profile: Profile) -> Checkpoints:
    """The checkpoints of a run, and which of them it keeps."""
    return Checkpoints(run.checkpoints, keep_last=profile.training.keep_last, keep_every=profile.training.keep_every)


def _state(profile: Profile, processes: Processes, found: Found | None, rollbacks: Sequence[Rollback]) -> TrainingState:
    """Where the run stands; its place in the epoch is translated where there are other processes than before."""
    if found is None:
        state = TrainingState()
    else:
        state = TrainingState.from_json(found.state.get("training"))
        before, now = found.state["processes"], processes.world
        if before != now:
            logger.warning("%d processes, %d before: the run goes on, but not bit by bit as it would have", now, before)
        state.batch = state.batch * before // now
    apply_rollbacks(state, rollbacks)
    training = profile_now(profile, state).training
    if found is None or training.max_minutes is None or state.begins_stage:
        state.horizon_steps = estimate_horizon(state, training)
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
