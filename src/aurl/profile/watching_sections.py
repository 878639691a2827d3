"""The keys of a profile that say what a run watches in itself, and what it does about it."""

from pydantic import Field

from aurl.profile.sections import Section


class Watching(Section):
    """What a run watches in itself, and what it does about it."""

    spike: float = Field(
        default=8.0,
        ge=0,
        description="Deviations above the median of its history that make a loss or gradient norm suspicious; 0: none.",
    )
    history: int = Field(default=32, ge=8, description="Lines of metrics.jsonl that spikes are judged by.")
    persistence: int = Field(
        default=3, ge=1, description="Lines in a row with a spike of the loss after which training goes back."
    )
    broken_updates: int = Field(
        default=3, ge=1, description="Updates in a row without a finite gradient after which training goes back."
    )
    rollbacks: int = Field(default=3, ge=0, description="How often a run may go back to its last good checkpoint.")
    rollback_rate: float = Field(
        default=0.5, gt=0, le=1, description="Factor of all learning rates each time that it does."
    )
    samples: int = Field(
        default=8, ge=1, description="Pieces that are made and measured each time; the first one is kept as a file."
    )
    patience_on: tuple[str, ...] = Field(
        default=(),
        description="Logged numbers of which one must improve, or patience is lost; empty: what training.best_by says.",
    )
