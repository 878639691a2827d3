"""What a run has to remember besides tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from aurl.errors import DamagedError


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
    """

    nats: float = 0.0
    loss: float = 0.0
    tokens: int = 0
    notes: int = 0
    gradient_norm: float = 0.0
    updates: int = 0
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Where a run stands.

    Args:
        step: optimizer updates done.
        epoch: passes over the training split that are complete.
        batch: batches of this epoch that each process has learned.
        tokens: targets learned so far by all processes.
        seconds: time spent training, over all sittings.
        horizon_steps: where the learning-rate schedule ends.
        records: lines of `metrics.jsonl` written.
        validated_step: step of the newest validation, 0 before there is one.
        best_step: step of the best validation, 0 before there is one.
        best_nats_per_note: its value; with latents that of the bound, KL divergence and all.
        evaluations_since_best: how many validations did not improve on it.
        window: sums since the last line of metrics, over all processes.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    horizon_steps: int = 1
    records: int = 0
    validated_step: int = 0
    best_step: int = 0
    best_nats_per_note: float | None = None
    evaluations_since_best: int = 0
    window: Window = field(default_factory=Window)

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
