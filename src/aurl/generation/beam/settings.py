"""How wide one searches for the likeliest music."""

import math
from dataclasses import dataclass

from aurl.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Beam:
    """What a beam search is told.

    Args:
        width: how many pieces grow at once, in all groups together; 1 takes the likeliest id each time.
        groups: of pieces that keep away from each other, a divisor of `width`; 1 is plain beam search.
        diversity: ≥ 0, nats by which an id is worse for each piece of an earlier group that takes it in the same step.
            Vijayakumar et al., AAAI 2018 (Hamming diversity).
        length_penalty: ≥ 0; pieces of n new ids are compared by their log-likelihood over ((5 + n) / 6) to this power.
            0 compares the log-likelihoods themselves, which favours short pieces. Wu et al. 2016.

    Raises:
        UsageError: an argument outside its range.
    """

    width: int = 4
    groups: int = 1
    diversity: float = 0.5
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UsageError(f"a beam of width {self.width} is nothing to search with", hint="give 1 or more")
        if self.groups < 1 or self.width % self.groups:
            raise UsageError(
                f"a beam of width {self.width} cannot be divided into {self.groups} groups",
                hint="give a number of groups that divides the width",
            )
        for name in ("diversity", "length_penalty"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} of the beam is {getattr(self, name)}", hint="give a number ≥ 0")
