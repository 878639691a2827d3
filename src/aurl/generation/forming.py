"""Pieces in a form, as others are made: a batch to iterate, stop and look at."""

from collections.abc import Iterator, Sequence

from aurl.generation.engine import Made
from aurl.generation.form import Sections


class Formed:
    """Pieces in a form, one after the other; each is there when it is whole.

    Args:
        sections: makes them.
        seeds: of the pieces.

    Attributes:
        pieces: those that are whole.
    """

    def __init__(self, sections: Sections, seeds: Sequence[int]) -> None:
        self._sections, self._seeds = sections, seeds
        self._stopping = False
        self.pieces: list[Made] = []

    def __iter__(self) -> Iterator[None]:
        """Once for each id of a piece, when that piece is there."""
        for seed in self._seeds:
            if self._stopping:
                return
            self.pieces.append(self._sections.make(seed))
            yield from (None for _ in self.pieces[-1].ids)

    @property
    def finished(self) -> int:
        """How many pieces there are."""
        return len(self.pieces)

    def progress(self) -> float:
        """How many pieces' worth of music is made."""
        return len(self.pieces)

    def stop(self) -> None:
        """Begin no further piece."""
        self._stopping = True
