"""What a sitting of training came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class FitResult:
    """What a sitting of training came to.

    Args:
        run_folder: everything about the run.
        status: "finished" or "interrupted".
        reason: what ended it, a value of `Stop`.
        signal: the signal that interrupted it, 0 without.
        step: optimizer updates done, over all sittings.
        tokens: targets learned, over all sittings.
        seconds: training time, over all sittings.
        parameters: numbers that were trained.
        best_step: step of the best validation, 0 without.
        best_nats_per_note: its value, None without.
        metrics: the newest of each logged number.
        samples: pieces written in this sitting.
        damaged: checkpoints that were passed over when resuming, with what is wrong with each.
        is_main: False in all but the first process under `accelerate launch`; only the first should speak.
    """

    run_folder: Path
    status: str
    reason: str
    signal: int
    step: int
    tokens: int
    seconds: float
    parameters: int
    best_step: int
    best_nats_per_note: float | None
    metrics: dict[str, Any]
    samples: tuple[Path, ...]
    damaged: dict[str, str]
    is_main: bool = True

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended it; `resume` goes on."""
        return self.status == "interrupted"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(_ADAPTER.dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "FitResult":
        """Inverse of `to_json`."""
        return _ADAPTER.validate_python(value)


_ADAPTER = TypeAdapter(FitResult)
