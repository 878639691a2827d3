"""What a beam search keeps: pieces that grow, ways on, and pieces that have ended."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from aurl.generation.engine import Made


@dataclass
class Growing:
    """A piece of the beam.

    Args:
        piece: so far.
        group: that it belongs to.
        is_greedy: it takes the likeliest id each time, and stays however good the others are: so a search never finds
            less than that.
        score: sum of what its new ids were chosen by.
        length: number of new ids.
    """

    piece: Made
    group: int = 0
    is_greedy: bool = False
    score: float = 0.0
    length: int = 0

    def copy(self) -> "Growing":
        """An independent copy."""
        return replace(self, piece=replace(self.piece, ids=list(self.piece.ids)))

    def take(self, child: "Child") -> None:
        """Count a new id."""
        self.score, self.length, self.is_greedy = self.score + child.score, self.length + 1, child.is_greedy
        if not child.is_given:
            self.piece.sampled += 1
            self.piece.nats += child.nats


class Child(NamedTuple):
    """One way on.

    Args:
        row: of the piece that goes on.
        id: by which.
        is_given: the id was not chosen.
        is_greedy: see `Growing`.
        score: what the id is chosen by.
        nats: by which the model itself is surprised.
    """

    row: int
    id: int
    is_given: bool
    is_greedy: bool
    score: float = 0.0
    nats: float = 0.0


@dataclass
class Found:
    """Pieces of one group that have ended.

    Args:
        room: how many pieces there may still be, those that grow among them.
        pieces: ids → score by which they are compared, and the piece.
    """

    room: int
    pieces: dict[tuple[int, ...], tuple[float, Made]] = field(default_factory=dict)

    def add(self, score: float, piece: Made) -> None:
        """Take a piece in. The same ids may be found twice, for EOS and a wait beyond the end say the same."""
        ids = tuple(piece.ids)
        self.room -= ids not in self.pieces
        if ids not in self.pieces or score > self.pieces[ids][0]:
            self.pieces[ids] = score, piece

    def ranked(self) -> list[tuple[float, Made]]:
        """Best first; whole pieces before those that were stopped."""
        return sorted(self.pieces.values(), key=lambda found: (found[1].ended == "stopped", -found[0]))
