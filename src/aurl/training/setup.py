"""From a run folder to everything that its training needs, as new or as the newest checkpoint left it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from aurl.data.dataset import DatasetInfo, open_dataset
from aurl.errors import DamagedError
from aurl.loss.objective import build_objective
from aurl.model.build import build_model
from aurl.model.weights import load_weights
from aurl.profile import Profile
from aurl.training.averaging import average_weights
from aurl.training.batches import BatchStream, ValidationBatches, check_size
from aurl.training.checkpoint import EMA, MODEL, OPTIMIZER, RANDOM, Checkpoints, Found, read_tensors
from aurl.training.hardware import choose_precision
from aurl.training.optim import build_optimizer, load_optimizer_tensors, optimizer_tensors
from aurl.training.processes import Processes, environment_world
from aurl.training.random_state import random_tensors, seed_process, set_random_tensors
from aurl.training.run import Run, create_run
from aurl.training.state import TrainingState
from aurl.training.steps import Learner

logger = logging.getLogger(__name__)


@dataclass
class Session:
    """One sitting of training.

    Args:
        run: where it is written.
        profile: what was asked for.
        processes: who takes part.
        data: the data set.
        learner: model, optimizer, average.
        stream: training batches from where the run stands.
        validation: batches of the valid split, empty where there is none.
        checkpoints: of the run.
        state: where it stands.
    """

    run: Run
    profile: Profile
    processes: Processes
    data: DatasetInfo
    learner: Learner
    stream: BatchStream
    validation: ValidationBatches
    checkpoints: Checkpoints
    state: TrainingState

    def save(self) -> Path | None:
        """Write a checkpoint of all processes; all of them call this. The main one gets its path."""
        learner, state = self.learner, self.state
        random = self.processes.gather(random_tensors(learner.accelerator.device))
        if not self.processes.is_main:
            return None
        groups: dict[str, Mapping[str, torch.Tensor]] = {
            MODEL: learner.plain.state_dict(),
            OPTIMIZER: optimizer_tensors(learner.optimizer, learner.plain),
            RANDOM: random,
        }
        if learner.average is not None:
            groups[EMA] = learner.average.module.state_dict()
        scaler = learner.accelerator.scaler
        facts = {
            "training": state.to_json(),
            "scaler": scaler.state_dict() if scaler else None,
            "processes": self.processes.world,
            "batch_size": self.profile.data.batch_size,
            "profile_hash": self.profile.hash,
            "codec": self.data.codec.signature(),
        }
        return self.checkpoints.save(state.step, groups, facts, best_step=state.best_step)

    def facts(self) -> dict[str, Any]:
        """How this sitting computes, for `run.json`."""
        accelerator = self.learner.accelerator
        return {
            "device": accelerator.device.type,
            "precision": "fp32" if accelerator.mixed_precision == "no" else accelerator.mixed_precision,
            "threads": torch.get_num_threads(),
            "processes": self.processes.world,
            "parameters": self.learner.parameters,
        }


def create_checked(folder: Path, profile: Profile, dataset_folder: Path, *, processes: int) -> Run:
    """Make a run folder, once it is known that the data set can be trained on.

    Raises:
        UsageError: the run exists, or there is less than one batch.
        NotFoundError: there is no such data set.
        DamagedError: the data set cannot be read.
    """
    data = open_dataset(dataset_folder)
    check_size(profile, dataset_folder, processes)
    return create_run(
        folder,
        profile,
        dataset_folder,
        codec=data.codec.signature(),
        seed=profile.training.seed,
        profile_hash=profile.hash,
        processes=processes,
    )


def start_accelerator(
    profile: Profile, *, device: str | None = None, precision: str | None = None
) -> tuple[Accelerator, Processes]:
    """Join the other processes and settle device and precision, the same in all of them.

    Args:
        profile: for accumulation and precision.
        device: "cpu" leaves a GPU alone.
        precision: what an earlier sitting settled on.
    """
    several_on_cpu = environment_world() > 1 and not torch.cuda.is_available()
    partial = PartialState(cpu=device == "cpu" or several_on_cpu)
    processes = Processes(partial.process_index, partial.num_processes)
    if precision is None:
        precision = processes.from_main(choose_precision(profile.training.precision, partial.device))
    # An earlier run in this process may have settled on another precision; Accelerate would refuse the new one.
    AcceleratorState._reset_state()  # noqa: SLF001
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=partial.device.type == "cpu",
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=profile.training.accumulation, adjust_scheduler=False, sync_with_dataloader=False
        ),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)],
    )
    return accelerator, processes


def build_session(
    run: Run, profile: Profile, dataset_folder: Path, accelerator: Accelerator, processes: Processes, found: Found | None
) -> Session:
    """Build everything, then bring it to where `found` stands.

    Raises:
        DamagedError: the checkpoint does not fit the run.
        UsageError: the training split is too small for one batch.
    """
    data = open_dataset(dataset_folder)
    state = TrainingState(horizon_steps=profile.training.horizon_steps)
    if found is not None:
        state = TrainingState.from_json(found.state.get("training"))
    learner = _learner(profile, data, accelerator, found)
    stream = BatchStream(profile, dataset_folder, processes, epoch=state.epoch, batch=_batch(state, profile, processes, found))
    validation = ValidationBatches(profile, dataset_folder, processes)
    checkpoints = Checkpoints(run.checkpoints, keep_last=profile.training.keep_last)
    _restore_random(profile, accelerator.device, processes, found)
    return Session(run, profile, processes, data, learner, stream, validation, checkpoints, state)


def _learner(profile: Profile, data: DatasetInfo, accelerator: Accelerator, found: Found | None) -> Learner:
    training = profile.training
    seed_process(training.seed, rank=0)  # all processes begin with the same weights
    plain = build_model(profile.model, data.codec).to(accelerator.device)
    optimizer = build_optimizer(plain, lr=training.lr, betas=training.betas, weight_decay=training.weight_decay)
    average = average_weights(plain, training.ema_decay) if training.ema_decay else None
    if found is not None:
        load_weights(plain, found.folder / f"{MODEL}.safetensors")
        load_optimizer_tensors(optimizer, plain, read_tensors(found.folder, OPTIMIZER))
        if average is not None:
            load_weights(average.module, found.folder / f"{EMA}.safetensors")
            average.n_averaged.fill_(TrainingState.from_json(found.state["training"]).step)
    model, prepared = accelerator.prepare(plain, optimizer)
    if accelerator.scaler is not None and found is not None and found.state.get("scaler"):
        accelerator.scaler.load_state_dict(found.state["scaler"])
    return Learner(
        accelerator, model, plain, prepared, build_objective(profile), average, training.clip_norm
    )


def _batch(state: TrainingState, profile: Profile, processes: Processes, found: Found | None) -> int:
    """Position in the epoch, translated where the number of processes or the batch size has changed."""
    before = (found.state["processes"] * found.state["batch_size"]) if found is not None else 0
    now = processes.world * profile.data.batch_size
    if found is None or before == now:
        return state.batch
    logger.warning("%d windows in a step, %d before: the run goes on, but not as it would have", now, before)
    return state.batch * before // now


def _restore_random(profile: Profile, device: torch.device, processes: Processes, found: Found | None) -> None:
    seed_process(profile.training.seed, processes.rank + 1)
    if found is None:
        return
    own = f"{processes.rank}."
    states = {name.removeprefix(own): state for name, state in read_tensors(found.folder, RANDOM).items() if name.startswith(own)}
    if not states and processes.rank < found.state["processes"]:
        raise DamagedError(f"{found.folder} has no random state of process {processes.rank}")
    if states:
        set_random_tensors(states, device)
