"""What new music has to keep to beside the grammar: the registry, and what a kind can do."""

from typing import Protocol

from aurl.generation.constraints.row import Bias, Row
from aurl.midi.score import Score
from aurl.registry import Registry


class Constraint(Protocol):
    """A rule that pieces keep to while they grow, and that finished ones can be made to keep to.

    What it must know of a growing piece it reads off its `Row`; it has no memory of its own, so that one object serves
    all rows of a batch and every beam.
    """

    def restrict(self, row: Row, bias: Bias) -> None:
        """Lower the numbers of ids that should not, or must not (`FORBIDDEN`), follow; in place.

        The grammar has been there before: what it forbids stays so. Where nothing would be left to follow, what the
        constraints did to this row is forgotten for this id. NOTE_OFFs, EOS, and TIME_SHIFTs that reach the end of the
        row are never forbidden, so that every piece can end. What only leads to NOTE_ONs (VELOCITY, PART) need not be
        looked after: the mask forbids it where none may follow, with all constraints together, and for that asks about
        rows as they would be.
        """
        ...

    def force(self, row: Row, chosen: int) -> int:
        """The id to take in place of the one that was drawn, or that one; it must be legal."""
        ...

    def mend(self, score: Score) -> Score:
        """A finished piece that keeps to it, as near to `score` as it can be."""
        ...

    def broken(self, score: Score) -> list[str]:
        """Where a finished piece does not keep to it, in words; empty where it does."""
        ...


class Rule:
    """What constraints do that only restrict.

    Every kind's factory is called with the codec, and its options as keywords.
    """

    def restrict(self, row: Row, bias: Bias) -> None:
        """Everything may follow."""

    def force(self, row: Row, chosen: int) -> int:
        """What was drawn."""
        return chosen

    def mend(self, score: Score) -> Score:
        """The piece as it is."""
        return score

    def broken(self, score: Score) -> list[str]:
        """Nothing is."""
        return []


CONSTRAINTS: Registry[Constraint] = Registry("constraint")
