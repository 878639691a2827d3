"""A latent by itself tells which ids its segment holds, in any order."""

from collections.abc import Sequence

from torch import Tensor, nn

from aurl.model.latents.levels import Latents, Level


class BagsOfIds(nn.Module):
    """One linear layer for each level (Zhao, Zhao & Eskenazi, ACL 2017).

    What a decoder with a long past can do without, it does not learn to use; this makes latents worth using.

    Args:
        levels: whose latents.
        vocabulary_size: ids known.
    """

    def __init__(self, levels: Sequence[Level], vocabulary_size: int) -> None:
        super().__init__()
        self.of = nn.ModuleDict({level.name: nn.Linear(level.size, vocabulary_size) for level in levels})

    def forward(self, latents: Latents) -> dict[str, Tensor]:
        """Level → `(B, n, V)` logits of the ids of each segment."""
        return {name: linear(latents[name]) for name, linear in self.of.items()}
