"""What a long past comes down to: few keys and values, each a weighted average of many."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

SHORTEST_HALF_LIFE = 0.5
LONGEST_HALF_LIFE = 256
"""In blocks: from what has just left the window to all of the longest pieces."""


class Summary(NamedTuple):
    """Averages of a stretch of keys and values, in fp32 or more.

    Args:
        content: (…, S, 2 D), keys and values side by side.
        total: (…, S), logarithm of the sum of the weights.
    """

    content: Tensor
    total: Tensor


class Summaries(nn.Module):
    """S averages for each head, weighted by the softmax of a learned query's scores with keys and values.

    Slots of bounded memory (Peng et al., ABC, ACL 2022). Those of a past also forget, as gated slots do (Zhang et al.,
    GSA, NeurIPS 2024), each at its own constant rate, so that between them they hold every age.

    Args:
        n_heads: number of heads.
        d_head: dimensions of each.
        count: S.
        block: positions that come in at a time.
    """

    fading: Tensor

    def __init__(self, n_heads: int, d_head: int, *, count: int, block: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_heads, count, 2 * d_head))
        self.block = block
        half_lives = torch.logspace(math.log2(SHORTEST_HALF_LIFE), math.log2(LONGEST_HALF_LIFE), count, base=2.0)
        self.register_buffer("fading", math.log(2) / half_lives, persistent=False)  # (S,), in a block

    @property
    def count(self) -> int:
        """S."""
        return self.queries.shape[1]

    def of_all(self, k: Tensor, v: Tensor, real: Tensor | None = None) -> Summary:
        """Of keys and values `(…, H, T, D)`, all alike, but for padding: `real` is `(…, T)`."""
        content = torch.cat([k, v], -1)
        return _averages(self._scores(content, real), content)

    def of_block(self, k: Tensor, v: Tensor) -> Summary:
        """Of one block `(…, H, block, D)`, as it is remembered at its end."""
        content = torch.cat([k, v], -1)
        age = torch.arange(self.block - 1, -1, -1, device=k.device) / self.block
        return _averages(self._scores(content, None) - self.fading[:, None] * age, content)

    def joined(self, past: Summary, block: Summary) -> Summary:
        """Of a past and of the block after it."""
        faded = past.total - self.fading
        share = torch.sigmoid(block.total - faded)[..., None]
        return Summary(torch.lerp(past.content, block.content, share), torch.logaddexp(faded, block.total))

    def of_every_past(self, k: Tensor, v: Tensor) -> Tensor:
        """From N blocks `(B, N, H, block, D)` the content of all up to each of them, `(B, N, H, S, 2 D)`."""
        each = self.of_block(k, v)
        blocks = [Summary(*block) for block in zip(each.content.unbind(1), each.total.unbind(1), strict=True)]
        pasts = blocks[:1]
        for block in blocks[1:]:
            pasts.append(self.joined(pasts[-1], block))
        return torch.stack([past.content for past in pasts], 1)

    def _scores(self, content: Tensor, real: Tensor | None) -> Tensor:
        asked = (self.queries * self.queries.shape[-1] ** -0.5).to(content.dtype)
        scores = torch.matmul(asked, content.mT)  # (…, H, S, T)
        scores = scores.to(torch.promote_types(content.dtype, torch.float32))
        return scores if real is None else scores.masked_fill(~real[..., None, None, :], torch.finfo(scores.dtype).min)


def _averages(scores: Tensor, content: Tensor) -> Summary:
    total = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - total[..., None]).to(content.dtype)
    return Summary(torch.matmul(weights, content).to(scores.dtype), total)
