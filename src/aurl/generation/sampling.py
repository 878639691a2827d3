"""Logits → ids: temperature, top-k, top-p and min-p in a few batched operations, from uniform numbers drawn beforehand.

Every filter keeps a prefix of the ids ordered by probability, so one ordered cumulative sum serves them all and the
draw itself: the id is where the sum passes `uniform × kept mass` (inverse-CDF sampling). A row's result depends on
that row alone, never on the size of the batch or on its neighbours.

torch computes the probabilities and finds the largest; what is left are short columns, for which numpy's operations
cost half as much as torch's.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aurl.errors import UsageError

logger = logging.getLogger(__name__)

HEAD = 128
"""Ids that are ordered first for top-p. `topk(128)` takes 22 µs for 16 rows of 779 where a full sort takes 406 µs, and
128 ids nearly always hold the kept mass; rows where they do not are sorted in full."""
DRAWS_PER_REFILL = 256
LEAST_TEMPERATURE = 1e-4
"""Below it only the likeliest id would be left, and divided logits might overflow."""
UNIFORM_STEPS = 1 << 23
"""Uniform numbers are multiples of 2⁻²³: `u × total < total` then holds in float32 for every total."""


Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


class Draws:
    """Uniform numbers in [0, 1), one independent stream per piece.

    The n-th number of a piece depends only on its seed and n, so a piece comes out the same in any batch.

    Args:
        seeds: one per piece, 0 … 2⁶³ − 1.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._next = DRAWS_PER_REFILL
        self._numbers = np.empty((len(seeds), DRAWS_PER_REFILL), np.float32)

    def step(self) -> Floats:
        """The next number of every piece, (B, 1)."""
        if self._next == DRAWS_PER_REFILL:
            for row, generator in zip(self._numbers, self._generators, strict=True):
                row[:] = torch.randint(UNIFORM_STEPS, (DRAWS_PER_REFILL,), generator=generator).numpy()
            self._numbers /= UNIFORM_STEPS
            self._next = 0
        self._next += 1
        return self._numbers[:, self._next - 1 : self._next]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these pieces only, in this order."""
        self._generators = [self._generators[row] for row in rows]
        self._numbers = self._numbers[list(rows)]


class Sampler:
    """Chooses the next id of every row.

    Args:
        temperature: ≥ 0; logits are divided by it; 0 always takes the likeliest id.
        top_k: keep the k likeliest ids; 0 keeps all.
        top_p: keep the fewest ids whose probabilities (after top-k) reach this sum, in (0, 1]; 1 keeps all.
            Holtzman et al., ICLR 2020.
        min_p: keep ids at least this fraction as likely as the likeliest, in [0, 1]; 0 keeps all.
            Nguyen et al., ICLR 2025.

    Raises:
        UsageError: an argument outside its range.
    """

    def __init__(self, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> None:
        if not temperature >= 0 or temperature == float("inf"):
            raise UsageError(f"temperature is {temperature}", hint="give a number ≥ 0; 0 always takes the likeliest id")
        if top_k < 0:
            raise UsageError(f"top_k is {top_k}", hint="give a whole number ≥ 0; 0 keeps every id")
        if not 0 < top_p <= 1:
            raise UsageError(f"top_p is {top_p}", hint="give a number above 0 and at most 1; 1 keeps every id")
        if not 0 <= min_p <= 1:
            raise UsageError(f"min_p is {min_p}", hint="give a number from 0 to 1; 0 keeps every id")
        self._temperature, self._top_k, self._top_p, self._min_p = temperature, top_k, top_p, min_p
        self._said: set[str] = set()

    def __call__(self, logits: Tensor, bias: Tensor, uniforms: Floats) -> Ids:
        """Ids (B,) drawn from the filtered distribution.

        Args:
            logits: (B, V).
            bias: (B, V), 0 where an id is allowed and −inf where it is not; no row is −inf throughout.
            uniforms: (B, 1) numbers in [0, 1).
        """
        scores = logits + bias
        if self._temperature < LEAST_TEMPERATURE:
            best, order = scores.max(-1, keepdim=True)
            ids, is_drawn = order.cpu().numpy(), best.isfinite().cpu().numpy()
        else:
            ids, mass = self._draw(scores if self._temperature == 1 else scores / self._temperature, uniforms)
            is_drawn = mass > 0
        if not is_drawn.all():
            ids = self._replace_illegal(ids, is_drawn, bias, uniforms)
        return ids[:, 0]

    def _draw(self, scores: Tensor, uniforms: Floats) -> tuple[Ids, Floats]:
        """Ids and the probability mass they were drawn from, both (B, 1); the mass is NaN where nothing is left."""
        probabilities = scores.softmax(-1)
        vocabulary_size = scores.shape[-1]
        if self._top_k > vocabulary_size:
            self._say("top_k", f"top_k {self._top_k} is more than the {vocabulary_size} ids there are: all are kept")
        if 0 < self._top_k < vocabulary_size:
            top, order = _largest(probabilities, self._top_k)
            sums = top.cumsum(-1)
            return self._draw_ordered(top, sums, order, uniforms, sums[:, -1:] * np.float32(self._top_p))
        if self._top_p < 1:
            return self._draw_top_p(probabilities, uniforms)
        kept = probabilities.cpu().numpy()
        if self._min_p > 0:
            kept = kept * (kept >= kept.max(-1, keepdims=True) * np.float32(self._min_p))
        return _invert(kept.cumsum(-1), uniforms)

    def _draw_top_p(self, probabilities: Tensor, uniforms: Floats) -> tuple[Ids, Floats]:
        head, reach = min(HEAD, probabilities.shape[-1]), np.float32(self._top_p)
        top, order = _largest(probabilities, head)
        sums = top.cumsum(-1)
        ids, mass = self._draw_ordered(top, sums, order, uniforms, reach)
        short = sums[:, -1] < reach
        if head < probabilities.shape[-1] and short.any():
            rows = probabilities[torch.from_numpy(short).to(probabilities.device)]
            top, order = (column.cpu().numpy() for column in rows.sort(dim=-1, descending=True, stable=True))
            ids[short], mass[short] = self._draw_ordered(top, top.cumsum(-1), order, uniforms[short], reach)
        return ids, mass

    def _draw_ordered(
        self, top: Floats, sums: Floats, order: Ids, uniforms: Floats, reach: Floats | np.float32
    ) -> tuple[Ids, Floats]:
        """Draw from probabilities in falling order, whose cumulative sums are `sums`, as far as these reach `reach`."""
        last = top.shape[-1] - 1
        end = np.minimum((sums < reach).sum(-1, keepdims=True), last)
        if self._min_p > 0:
            likely = (top >= top[:, :1] * np.float32(self._min_p)).sum(-1, keepdims=True) - 1
            end = np.minimum(end, np.maximum(likely, 0))
        mass = np.take_along_axis(sums, end, 1)
        place = np.minimum((sums <= uniforms * mass).sum(-1, keepdims=True), last)
        return np.take_along_axis(order, place, 1), mass

    def _replace_illegal(self, ids: Ids, is_drawn: NDArray[np.bool_], bias: Tensor, uniforms: Floats) -> Ids:
        """Rows whose scores left nothing to choose from draw evenly from what `bias` allows."""
        self._say("masked", "no id with a finite score was left: taking any legal one")
        allowed = (bias == 0).cpu().numpy().astype(np.float32)
        legal, _ = _invert(allowed.cumsum(-1), uniforms)
        return np.where(is_drawn, ids, legal)

    def _say(self, what: str, message: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning(message)


def _largest(probabilities: Tensor, count: int) -> tuple[Floats, Ids]:
    top, order = probabilities.topk(count)
    return top.cpu().numpy(), order.cpu().numpy()


def _invert(sums: Floats, uniforms: Floats) -> tuple[Ids, Floats]:
    """First place where the cumulative sum passes `uniform × total`, and the total; both (B, 1)."""
    mass = sums[:, -1:]
    place = (sums <= uniforms * mass).sum(-1, keepdims=True)
    return np.minimum(place, sums.shape[-1] - 1), mass
