"""Everything that one sitting of training works with, and how it is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import aurl
from aurl.data.dataset import DatasetInfo
from aurl.profile import Profile
from aurl.training.batches import BatchStream, ValidationBatches
from aurl.training.checkpoint import (
    DISCRIMINATOR,
    DISCRIMINATOR_OPTIMIZER,
    EMA,
    MODEL,
    OPTIMIZER,
    RANDOM,
    SWA,
    Checkpoints,
)
from aurl.training.optim import optimizer_tensors
from aurl.training.processes import Processes
from aurl.training.random_state import random_tensors
from aurl.training.run import Run
from aurl.training.sharding import gathered
from aurl.training.state import TrainingState
from aurl.training.steps import Learner


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
        whole: the run's profile; `profile` is what it comes to in the stage that the run is in.
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
    whole: Profile

    @property
    def stage_name(self) -> str:
        """Of the stage that the run is in; empty where there are none."""
        return self.whole.stages[self.state.stage].name if self.whole.stages else ""

    def save(self) -> Path | None:
        """Write a checkpoint of all processes; all of them call this. The main one gets its path."""
        learner, state = self.learner, self.state
        random = self.processes.gather(random_tensors(learner.accelerator.device))
        groups: dict[str, Mapping[str, Tensor]] = {
            MODEL: learner.weights(),
            OPTIMIZER: optimizer_tensors(learner.optimizer, learner.plain),
            RANDOM: random,
        }
        ema, last = learner.averages.ema, learner.averages.last
        if ema is not None:
            groups[EMA] = learner.weights(ema)
        if last is not None and last.updates:
            groups[SWA] = learner.weights(last.average)
        if learner.adversary is not None:
            adversary = learner.adversary
            groups[DISCRIMINATOR] = adversary.plain.state_dict()
            groups[DISCRIMINATOR_OPTIMIZER] = optimizer_tensors(adversary.optimizer, adversary.plain)
        groups = {name: gathered(tensors, keep=self.processes.is_main) for name, tensors in groups.items()}
        if not self.processes.is_main:
            return None
        scaler = learner.accelerator.scaler
        facts = {
            "aurl": aurl.__version__,
            "torch": str(torch.__version__),
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            "training": state.to_json(),
            "memory": {name: one.state_dict() for name, one in learner.memory.items()},
            "scaler": scaler.state_dict() if scaler else None,
            "processes": self.processes.world,
            "batch_size": self.profile.data.batch_size,
            "profile_hash": self.whole.hash,
            "codec": self.data.codec.signature(),
        }
        ranking = [one.step for one in state.ranking]
        return self.checkpoints.save(state.step, groups, facts, ranking=ranking, good_step=state.good_step)

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
