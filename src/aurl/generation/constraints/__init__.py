"""What may follow in a growing piece: the grammar, and constraints beside it."""

from aurl.generation.constraints.kinds import CONSTRAINTS, Constraint

__all__ = ["CONSTRAINTS", "Constraint"]
