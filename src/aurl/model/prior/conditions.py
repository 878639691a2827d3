"""Facts of a piece's header that the prior of its global latent is told."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from aurl.tokens.vocabulary import GROUPS, SEP

UNKNOWN = -1
"""In place of a value that is not known, or not to be told."""
MOST_FORGOTTEN = 0.5
"""In training a window forgets a share of its conditions between 0 and this: any of them can be left open when latents
are drawn, and half of the windows still know all three."""


def conditions_of(ids: Tensor, names: Sequence[str]) -> Tensor:
    """`(B, C)` int64: the value of each of the header facts `names` in rows of ids `(B, T)`, or `UNKNOWN`."""
    before_body = (ids == SEP).cumsum(1) == 0
    columns = [_first(ids, before_body, name) for name in names]
    return torch.stack(columns, 1) if columns else ids.new_empty(ids.shape[0], 0)


def _first(ids: Tensor, allowed: Tensor, name: str) -> Tensor:
    group = GROUPS[name]
    found = (ids >= group.start) & (ids < group.stop) & allowed
    value = ids.gather(1, found.int().argmax(1, keepdim=True))[:, 0] - group.start
    return torch.where(found.any(1), value, UNKNOWN)


def forget(conditions: Tensor) -> Tensor:
    """Some of the values `(B, C)` made `UNKNOWN`, at random."""
    share = torch.rand(conditions.shape[0], 1, device=conditions.device) * MOST_FORGOTTEN
    return conditions.masked_fill(torch.rand(conditions.shape, device=conditions.device) < share, UNKNOWN)


class Conditions(nn.Module):
    """Header facts as one vector.

    Args:
        names: groups of control ids, such as "key".
        size: width of the vector.
    """

    def __init__(self, names: Sequence[str], size: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.tables = nn.ModuleList([nn.Embedding(GROUPS[name].size + 1, size) for name in names])
        self.mix = nn.Linear(size, size)

    def forward(self, values: Tensor) -> Tensor:
        """`(B, size)` for values `(B, C)`."""
        rows = values - UNKNOWN  # row 0 stands for the unknown
        total = torch.stack([table(rows[:, column]) for column, table in enumerate(self.tables)]).sum(0)
        mixed: Tensor = silu(self.mix(total))
        return mixed
