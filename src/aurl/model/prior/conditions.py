"""What the prior of a piece's global latent is told: facts of its header, and its style."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from aurl.tokens.vocabulary import GROUPS, SEP

UNKNOWN = -1
"""In place of a value that is not known, or not to be told."""
STYLE = "style"
"""The one condition that is not in the header: a number that stands for a word that people say of the piece."""
MOST_FORGOTTEN = 0.5
"""In training a window forgets a share of its conditions between 0 and this: any of them can be left open when latents
are drawn, and half of the windows still know all of three."""


def condition_sizes(names: Sequence[str], styles: int = 0) -> dict[str, int]:
    """How many values each of the header facts `names` has, and behind them so many styles, if there are any."""
    return {name: GROUPS[name].size for name in names} | ({STYLE: styles} if styles else {})


def conditions_of(ids: Tensor, names: Sequence[str], style: Tensor | None = None) -> Tensor:
    """`(B, C)` int64: the value of each of the conditions `names` of rows of ids `(B, T)`, or `UNKNOWN`.

    Args:
        ids: with the header, if they are to tell of it.
        names: header facts, and perhaps `STYLE`.
        style: `(B,)` int64; None: all unknown.
    """
    before_body = (ids == SEP).cumsum(1) == 0
    unknown = torch.full_like(ids[:, 0], UNKNOWN)
    told = unknown if style is None else style
    columns = [told if name == STYLE else _first(ids, before_body, name) for name in names]
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
    """Conditions as one vector.

    Args:
        sizes: condition → how many values it has, see `condition_sizes`.
        size: width of the vector.
    """

    def __init__(self, sizes: Mapping[str, int], size: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(count + 1, size) for count in sizes.values()])
        self.mix = nn.Linear(size, size)

    def forward(self, values: Tensor) -> Tensor:
        """`(B, size)` for values `(B, C)`."""
        rows = values - UNKNOWN  # row 0 stands for the unknown
        total = torch.stack([table(rows[:, column]) for column, table in enumerate(self.tables)]).sum(0)
        mixed: Tensor = silu(self.mix(total))
        return mixed
