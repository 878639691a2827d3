"""What a long past comes down to: few keys and values, each a weighted average of many."""

from typing import NamedTuple

import torch
from torch import Tensor


class Summary(NamedTuple):
    """Averages of a stretch of keys and values, in fp32 or more.

    Args:
        content: (…, S, 2 D), keys and values side by side.
        total: (…, S), logarithm of the sum of the weights.
    """

    content: Tensor
    total: Tensor

    def then(self, later: "Summary") -> "Summary":
        """Of this stretch and a later one together: no number is ever larger than what went in."""
        share = torch.sigmoid(later.total - self.total)[..., None]
        return Summary(torch.lerp(self.content, later.content, share), torch.logaddexp(self.total, later.total))


def summarise(queries: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Summary:
    """Averages of `k`, `v` `(B, H, N, W, D)` over W, weighted by the softmax of each query's scores with the keys.

    Args:
        queries: (H, S, D).
        k: keys.
        v: values.
        real: (B, W), positions that count.
    """
    asked = (queries * queries.shape[-1] ** -0.5).to(k.dtype)[:, None]
    scores = torch.matmul(asked, k.mT)  # (B, H, N, S, W)
    scores = scores.to(torch.promote_types(k.dtype, torch.float32))
    if real is not None:
        scores = scores.masked_fill(~real[:, None, None, None], torch.finfo(scores.dtype).min)
    total = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - total[..., None]).to(k.dtype)
    content = torch.matmul(weights, torch.cat([k, v], -1))
    return Summary(content.to(scores.dtype), total)


def running(blocks: Summary) -> Tensor:
    """From summaries of blocks, `(B, H, N, S, …)`, the content of all blocks up to each, `(B, H, N, S, 2 D)`."""
    each = [Summary(*block) for block in zip(blocks.content.unbind(2), blocks.total.unbind(2), strict=True)]
    past = [each[0]]
    for block in each[1:]:
        past.append(past[-1].then(block))
    return torch.stack([summary.content for summary in past], 2)
