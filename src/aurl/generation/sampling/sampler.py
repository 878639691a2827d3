"""Logits → ids: temperature, top-k, top-p and min-p in a few batched operations, from uniform numbers drawn beforehand.

Top-k, top-p and min-p each keep a prefix of the ids ordered by probability, so one ordered cumulative sum serves them
all and the draw itself: the id is where the sum passes `uniform × kept mass` (inverse-CDF sampling). A row's result
depends on that row alone, never on the size of the batch or on its neighbours.

torch computes the probabilities and finds the largest. What is left is a walk over the few that are kept, in plain
Python: each further array operation costs 10 µs in a loop whose weights push everything else out of the cache.
"""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import isfinite

import torch
from torch import Tensor

from aurl.errors import UsageError
from aurl.generation.sampling.kinds import Filter

logger = logging.getLogger(__name__)

HEAD = 128
"""Ids that are ordered first for top-p. `topk(128)` takes 22 µs for 16 rows of 779 where a full sort takes 406 µs, and
128 ids nearly always hold the kept mass; rows where they do not are sorted in full."""
DRAWS_PER_REFILL = 256
LEAST_TEMPERATURE = 1e-4
"""Below it only the likeliest id would be left, and divided logits might overflow."""
UNIFORM_STEPS = 1 << 23
"""Uniform numbers are multiples of 2⁻²³: float32 holds them all, and the largest is clearly below 1."""


class Draws:
    """Uniform numbers in [0, 1), one independent stream per piece.

    The n-th number of a piece depends only on its seed and n, so a piece comes out the same in any batch.

    Args:
        seeds: one per piece, 0 … 2⁶³ − 1.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._numbers: list[list[float]] = [[] for _ in seeds]

    def step(self) -> list[float]:
        """The next number of every piece."""
        for numbers, generator in zip(self._numbers, self._generators, strict=True):
            if not numbers:
                drawn = torch.randint(UNIFORM_STEPS, (DRAWS_PER_REFILL,), generator=generator)
                numbers.extend((drawn.flip(0) / UNIFORM_STEPS).tolist())
        return [numbers.pop() for numbers in self._numbers]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these pieces only, in this order."""
        self._generators = [self._generators[row] for row in rows]
        self._numbers = [self._numbers[row] for row in rows]


class Sampler:
    """Chooses the next id of every row.

    Args:
        temperature: ≥ 0; logits are divided by it; 0 always takes the likeliest id.
        top_k: keep the k likeliest ids; 0 keeps all.
        top_p: keep the fewest ids whose probabilities (after top-k) reach this sum, in (0, 1]; 1 keeps all.
            Holtzman et al., ICLR 2020.
        min_p: keep ids at least this fraction as likely as the likeliest, in [0, 1]; 0 keeps all.
            Nguyen et al., ICLR 2025.
        filters: what changes scores before all of this.

    Raises:
        UsageError: an argument outside its range.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        filters: Sequence[Filter] = (),
    ) -> None:
        if not temperature >= 0 or temperature == float("inf"):
            raise UsageError(
                f"--temperature is {temperature}", hint="give a number ≥ 0; 0 always takes the likeliest id"
            )
        if top_k < 0:
            raise UsageError(f"--top-k is {top_k}", hint="give a whole number ≥ 0; 0 keeps every id")
        if not 0 < top_p <= 1:
            raise UsageError(f"--top-p is {top_p}", hint="give a number above 0 and at most 1; 1 keeps every id")
        if not 0 <= min_p <= 1:
            raise UsageError(f"--min-p is {min_p}", hint="give a number from 0 to 1; 0 keeps every id")
        self._temperature, self._top_k, self._top_p, self._min_p = temperature, top_k, top_p, min_p
        self._filters = filters
        self._said: set[str] = set()

    def __call__(
        self, logits: Tensor, bias: Tensor, uniforms: Sequence[float], histories: Sequence[Sequence[int]] = ()
    ) -> list[int]:
        """One id for each row, drawn from the filtered distribution.

        Args:
            logits: (B, V).
            bias: (B, V), finite where an id is allowed and −inf where it is not; no row is −inf throughout.
            uniforms: B numbers in [0, 1).
            histories: ids of each row so far; filters may ask for them.
        """
        scores = logits + bias
        for change in self._filters:
            scores = change(scores, histories)
        drawn = self._choose(scores, uniforms)
        return [self._fall_back(row, logits, bias, uniforms) if i is None else i for row, i in enumerate(drawn)]

    def _choose(self, scores: Tensor, uniforms: Sequence[float]) -> list[int | None]:
        """An id for each row, None where nothing is left to choose from."""
        if self._temperature < LEAST_TEMPERATURE:
            best, order = scores.max(-1)
            return [i if isfinite(score) else None for score, i in zip(best.tolist(), order.tolist(), strict=True)]
        return self._draw(scores if self._temperature == 1 else scores / self._temperature, uniforms)

    def _fall_back(self, row: int, logits: Tensor, bias: Tensor, uniforms: Sequence[float]) -> int:
        """An id for a row of which nothing was left: by its scores before the filters, or else any that is legal."""
        one = slice(row, row + 1)
        chosen = self._choose(logits[one] + bias[one], uniforms[one])[0] if self._filters else None
        if chosen is None:
            return self._any_legal(bias[row], uniforms[row])
        self._say("filtered", "the filters left nothing to follow: for one id they do not count")
        return chosen

    def _draw(self, scores: Tensor, uniforms: Sequence[float]) -> list[int | None]:
        """An id for each row, None where nothing is left to draw from."""
        probabilities = scores.softmax(-1)
        size = scores.shape[-1]
        if self._top_k > size:
            self._say("top_k", f"top_k {self._top_k} is more than the {size} ids there are: all are kept")
        cut = 0 < self._top_k < size
        if not cut and self._top_p == 1:
            return self._draw_unordered(probabilities, uniforms)
        top, order = probabilities.topk(self._top_k if cut else min(HEAD, size))
        drawn: list[int | None] = []
        for row, (values, ids) in enumerate(zip(top.tolist(), order.tolist(), strict=True)):
            reach = self._top_p * (sum(values) if cut else 1)
            sums = self._kept(values, reach)
            if not cut and len(sums) == len(values) < size and sums[-1] < reach:
                full, full_order = probabilities[row].sort(descending=True, stable=True)
                sums, ids = self._kept(full.tolist(), reach), full_order.tolist()  # noqa: PLW2901 - HEAD was too short
            drawn.append(ids[bisect_right(sums, uniforms[row] * sums[-1])] if sums[-1] > 0 else None)
        return drawn

    def _kept(self, values: Sequence[float], reach: float) -> list[float]:
        """Cumulative sums of falling probabilities, as far as they are kept."""
        sums: list[float] = []
        mass, floor = 0.0, values[0] * self._min_p
        for value in values:
            if sums and (mass >= reach or value < floor):
                break
            mass += value
            sums.append(mass)
        return sums

    def _draw_unordered(self, probabilities: Tensor, uniforms: Sequence[float]) -> list[int | None]:
        if self._min_p > 0:
            floor = probabilities.amax(-1, keepdim=True) * self._min_p
            probabilities = probabilities * (probabilities >= floor)
        sums = probabilities.cpu().cumsum(-1, dtype=torch.float64)
        mass = sums[:, -1:]
        goals = torch.tensor(uniforms, dtype=torch.float64)[:, None] * mass
        places = torch.searchsorted(sums, goals, right=True)[:, 0].tolist()
        return [place if total > 0 else None for place, total in zip(places, mass[:, 0].tolist(), strict=True)]

    def _any_legal(self, bias: Tensor, uniform: float) -> int:
        """An even draw from what `bias` (V,) allows, for a row whose scores left nothing to choose from."""
        self._say("masked", "no id with a finite score was left: taking any legal one")
        sums = list(accumulate(bias.isfinite().tolist()))
        return bisect_right(sums, uniform * sums[-1])

    def _say(self, what: str, message: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning(message)
