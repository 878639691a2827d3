"""One block of keys and values, and summaries of all before it."""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from aurl.model.attention.banded import band
from aurl.model.attention.slots import Slots
from aurl.model.attention.summaries import Summaries, Summary


class SummaryCache:
    """A ring of the last `window` keys and values, and behind them the summaries, which change at the end of a block.

    The ring is full when there is a first summary, so a single query always looks at the first so many slots.

    Args:
        like: a tensor of the wanted type and device.
        shape: (B, H, D).
        capacity: most tokens that will be appended.
        summaries: what makes them; the window is as long as its blocks.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int], capacity: int, summaries: Summaries) -> None:
        self.length = 0
        self._summaries = summaries
        self._window = summaries.block
        self._size = self._window + summaries.count if capacity > self._window else capacity
        self._slots = Slots(like, shape, self._size)
        self._past: Summary | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let each query look at the last `window` positions and the summaries before its block."""
        length, first = q.shape[2], self._window - self.length % self._window
        ends = [*range(first, length, self._window), length]
        parts = zip(*(torch.tensor_split(x, ends[:-1], dim=2) for x in (q, k, v)), strict=True)
        return torch.cat([self._attend_part(*part) for part in parts], dim=2)

    def _attend_part(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        before, n_new, window = min(self.length, self._window), k.shape[2], self._window
        order = torch.arange(self.length - before, self.length, device=q.device) % window
        if self._past is not None:
            order = torch.cat([torch.arange(window, self._size, device=q.device), order])
        keys, values = (torch.cat(pair, dim=2) for pair in zip(self._slots.read(order), (k, v), strict=True))
        seen = pad(band(n_new, before, window, q.device), (len(order) - before, 0), value=True)
        start = self.length % window
        self._slots.write(torch.arange(start, start + n_new, device=k.device), k, v)
        self._advance(n_new)
        return scaled_dot_product_attention(q, keys, values, attn_mask=seen)

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One token."""
        filled = self.length + 1 if self._past is None else self._size
        mixed = self._slots.step(self.length % self._window, filled, q, k, v)
        self._advance(1)
        return mixed

    @torch.no_grad()
    def _advance(self, n_new: int) -> None:
        """Take note of tokens that are in the ring; at the end of a block it is summarised."""
        self.length += n_new
        if self.length % self._window or self._size <= self._window:
            return
        device = self._summaries.queries.device
        block = self._summaries.of_block(*self._slots.read(torch.arange(self._window, device=device)))
        self._past = block if self._past is None else self._summaries.joined(self._past, block)
        keys, values = self._past.content.chunk(2, -1)
        self._slots.write(torch.arange(self._window, self._size, device=device), keys, values)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        self._slots.select(rows)
        if self._past is not None:
            self._past = Summary(*(x[rows] for x in self._past))
