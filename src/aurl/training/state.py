"""What a run has to remember besides tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from aurl.errors import DamagedError
from aurl.training.ranking import Ranked
from aurl.training.vigil import Watch


class Stateful(Protocol):
    """Something that learns in the course of a run, beside weights and their optimizers."""

    def state_dict(self) -> dict[str, Any]:
        """What it has learned, as JSON; floats come back bit by bit."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...


@dataclass
class Window:
    """Sums since the last line of `metrics.jsonl`, of this process or (after reduction) of all.

    Args:
        nats: negative log-likelihood.
        loss: what was minimised.
        tokens: targets learned.
        notes: targets that begin a note.
        gradient_norm: sum over updates, before clipping.
        updates: how many.
        parts: term of the objective → its sum, as it is logged.
        losses: of each update, per target.
        largest_norm: of the gradients.
        clipped: updates whose gradient was shortened.
        broken: updates that were left out, because their gradient was not finite; counted nowhere else.
    """

    nats: float = 0.0
    loss: float = 0.0
    tokens: int = 0
    notes: int = 0
    gradient_norm: float = 0.0
    updates: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    largest_norm: float = 0.0
    clipped: int = 0
    broken: int = 0


@dataclass
class TrainingState:
    """Where a run stands.

    Args:
        step: optimizer updates done.
        epoch: passes over the training split that are complete.
        batch: batches of this epoch that each process has learned.
        tokens: targets learned so far by all processes.
        windows: windows learned so far by all processes.
        augmented: how many of them were varied.
        seconds: time spent training, over all sittings.
        horizon_steps: where the learning-rate schedule ends, counted from the first step of the stage.
        records: lines of `metrics.jsonl` written.
        validated_step: step of the newest validation, 0 before there is one.
        best_step: step of the best validation, 0 before there is one.
        best_nats_per_note: its value; with latents that of the bound, KL divergence and all.
        evaluations_since_best: how many validations found nothing better that patience is kept on.
        window: sums since the last line of metrics, over all processes.
        sampled_step: step of the newest samples, 0 before there are any.
        newest: the newest of each logged number.
        ranking: the best steps by what checkpoints are kept by, best first.
        bests: what patience is kept on → its best value.
        has_improved: whether any of it has become better since the newest validation.
        watch: what the run knows of its own health.
        good_step: of the newest checkpoint that was due, 0 before there is one; what would be gone back to.
        is_overdue: one was due, and its numbers were suspicious.
        stage: which of the profile's stages it is in, from 0 on.
        stage_step: updates done when that began.
        stage_seconds: time spent until then.
        stage_epoch: epochs complete until then.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    windows: int = 0
    augmented: int = 0
    seconds: float = 0.0
    horizon_steps: int = 1
    records: int = 0
    validated_step: int = 0
    best_step: int = 0
    best_nats_per_note: float | None = None
    evaluations_since_best: int = 0
    window: Window = field(default_factory=Window)
    sampled_step: int = 0
    newest: dict[str, float] = field(default_factory=dict)
    ranking: list[Ranked] = field(default_factory=list)
    bests: dict[str, float] = field(default_factory=dict)
    has_improved: bool = False
    watch: Watch = field(default_factory=Watch)
    good_step: int = 0
    is_overdue: bool = False
    stage: int = 0
    stage_step: int = 0
    stage_seconds: float = 0.0
    stage_epoch: int = 0

    @property
    def stage_steps(self) -> int:
        """Updates done in this stage."""
        return self.step - self.stage_step

    @property
    def begins_stage(self) -> bool:
        """Whether the stage before this one has just ended."""
        return self.stage > 0 and self.step == self.stage_step

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats come back bit by bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "TrainingState":
        """Inverse of `to_json`.

        Raises:
            DamagedError: it is not such a state.
        """
        try:
            return _ADAPTER.validate_python(value)
        except ValidationError as error:
            raise DamagedError(f"the training state is not usable: {error.errors()[0]['msg']}") from error


_ADAPTER = TypeAdapter(TrainingState)
