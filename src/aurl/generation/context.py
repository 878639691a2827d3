"""What the model sees of a growing piece: never more tokens than it was trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aurl.generation.latents import PieceLatents, largest_segment
from aurl.model.cache import Cache
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import MAX_SHIFT_STEPS, SEP, TIME_SHIFT

PREFILL_TOKENS = 512
"""Ids that go through the model at once; bounds the memory of the logits of a long prompt."""


def elapsed_steps(ids: Sequence[int]) -> int:
    """Steps that `ids` last."""
    return sum(i - TIME_SHIFT.start + 1 for i in ids if 0 <= i - TIME_SHIFT.start < MAX_SHIFT_STEPS)


def header_length(ids: Sequence[int]) -> int:
    """How many ids stand before the body: up to and including SEP, or BOS alone where there is none."""
    return ids.index(SEP) + 1 if SEP in ids else 1


class Context:
    """The model with its cache, for pieces of equal length that grow by one id at a time.

    Rotary positions mean little beyond the window that was trained, so the window is kept: when it is full, each piece
    is read anew from its header and what follows after as many ids as leave about `context // 2`, exactly as training
    shows the middle of a piece. The cost of that is spread over the `context // 2` ids that follow. What is left out is
    a number of whole segments, so that latents change where they do in the piece; the header hears those of the first
    segment that is seen, as in training.

    Args:
        model: in evaluation mode.
        context: most ids that the model may see, ≥ 4.
        prompt: ids that all pieces begin with, BOS first.
        batch: number of pieces.
        device: where the model is.
        latents: of each piece; empty for a model without latents.

    Attributes:
        begins: for each piece, where in it that begins which the model sees beside the header; 0: it sees everything.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        *,
        context: int,
        prompt: Sequence[int],
        batch: int,
        device: torch.device,
        latents: Sequence[PieceLatents] = (),
    ) -> None:
        self._model = model
        self._latents = list(latents)
        self._segment = largest_segment(model.levels, context // 2)
        self._context = context
        self._histories = [list(prompt) for _ in range(batch)]
        self._device = device
        self._cache: Cache | None = None
        self.begins = [0] * batch

    @torch.inference_mode()
    def read(self) -> Tensor:
        """Read all pieces, or as much of them as fits, from nothing; logits (B, V) of the ids to come."""
        dropped = self._dropped()
        windows, starts, self.begins = map(
            list, zip(*(self._window(history, dropped) for history in self._histories), strict=True)
        )
        self._cache = None  # frees the old keys and values before room for new ones is taken
        told = torch.cat([one.stream(dropped, self._context) for one in self._latents]) if self._latents else None
        copies = len(windows) if told is None and all(window == windows[0] for window in windows) else 1
        ids, start_steps = (torch.tensor(x[::copies], device=self._device) for x in (windows, starts))
        self._cache = self._model.new_cache(len(ids), self._context, told)
        for part in torch.split(ids, PREFILL_TOKENS, dim=1):
            logits: Tensor = self._model(part, start_steps=start_steps, cache=self._cache)
        if copies > 1:  # what all begin with is read once
            self._cache.select(torch.zeros(copies, dtype=torch.int64, device=self._device))
        return logits[:, -1].repeat(copies, 1)

    @torch.inference_mode()
    def step(self, ids: Sequence[int]) -> Tensor:
        """Take one new id of each piece; logits (B, V) of the ids to come."""
        for history, chosen in zip(self._histories, ids, strict=True):
            history.append(chosen)
        if self._cache is None or self._cache.length == self._context:
            return self.read()
        logits: Tensor = self._model(torch.tensor(ids, device=self._device)[:, None], cache=self._cache)
        return logits[:, -1]

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these pieces only, in this order; one that is named twice goes on as two."""
        if list(rows) == list(range(len(self._histories))):
            return
        self._histories = [list(self._histories[row]) for row in rows]
        self.begins = [self.begins[row] for row in rows]
        self._latents = [self._latents[row] for row in rows] if self._latents else []
        if self._cache is not None:
            self._cache.select(torch.tensor(rows, device=self._device))

    def _dropped(self) -> int:
        """How many ids of each piece are left out behind its header, so that about `context // 2` are left."""
        length = len(self._histories[0])
        if length <= self._context:
            return 0
        return (length - self._context // 2) // self._segment * self._segment

    def _window(self, ids: list[int], dropped: int) -> tuple[list[int], int, int]:
        """The ids to read, the step at which they begin, and the place in the piece where those after the header do."""
        if not dropped:
            return ids, 0, 0
        header = min(header_length(ids), self._context // 2 - 1)
        begin = header + dropped
        return ids[:header] + ids[begin:], elapsed_steps(ids[:begin]), begin
