"""The registry of preprocessing kinds, and what one step of them is."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aurl.midi.score import Score
from aurl.registry import Registry


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """A changed score, and what happened to notes on the way.

    Args:
        score: the changed score, or the first of several that it was divided into.
        repairs: name → count, only what happened.
        rest: the others, in order.
    """

    score: Score
    repairs: dict[str, int] = field(default_factory=dict)
    rest: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class PreprocessStep:
    """One configured step: called, it maps a score to a score.

    Args:
        counted: the same, with a count of the notes that could not be kept as they were.
        selects: it chooses or divides pieces for a data set, and leaves the music itself alone; a single piece that
            somebody chose goes without it.
    """

    counted: Callable[[Score], Preprocessed]
    selects: bool = False

    def __call__(self, score: Score) -> Score:
        """The changed score."""
        return self.counted(score).score


PREPROCESS: Registry[PreprocessStep] = Registry("preprocess")
"""Kind → factory of steps."""
