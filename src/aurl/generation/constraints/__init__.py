"""What may follow in a growing piece: the grammar, and constraints beside it."""

from aurl.generation.constraints.density import density
from aurl.generation.constraints.grid import grid
from aurl.generation.constraints.kinds import CONSTRAINTS, Constraint
from aurl.generation.constraints.no_copy import no_copy
from aurl.generation.constraints.pitch_range import pitch_range
from aurl.generation.constraints.polyphony import polyphony
from aurl.generation.constraints.scale import scale

__all__ = ["CONSTRAINTS", "Constraint", "density", "grid", "no_copy", "pitch_range", "polyphony", "scale"]
