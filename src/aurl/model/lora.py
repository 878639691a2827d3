"""Low-rank adapters (LoRA; Hu et al., ICLR 2022): W + α / r · B A, where only A and B learn.

An adapted layer keeps its weight under the name that it had; what is added has names of its own. So weights of an
adapted model become those of a plain one by adding up (`merged`), and nothing else has to know of adapters.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from aurl.errors import UsageError

DOWN, UP, SCALE = "lora_down", "lora_up", "lora_scale"
ADAPTED = ("decoder.", "encoder.", "latent_stream.")
"""Where linear layers are looked for: maps between hidden states."""


class AdaptedLinear(nn.Module):
    """A linear layer without bias that stays as it is, and a low-rank one beside it that says nothing at first.

    Args:
        plain: whose weight is kept and no longer learns.
        rank: of what is added.
        alpha: its scale, divided by the rank.
    """

    lora_scale: Tensor

    def __init__(self, plain: nn.Linear, *, rank: int, alpha: float) -> None:
        super().__init__()
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight = plain.weight.requires_grad_(False)
        self.lora_down = nn.Parameter(self.weight.new_empty(rank, self.in_features))
        self.lora_up = nn.Parameter(self.weight.new_zeros(self.out_features, rank))
        # Kept with the weights, so that they can be added up by whoever knows nothing but them.
        self.register_buffer(SCALE, torch.tensor(alpha / rank, device=self.weight.device))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))  # as a linear layer begins

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` → `(…, out)`."""
        return linear(x, self.weight) + self.lora_scale * linear(linear(x, self.lora_down), self.lora_up)


def adapt(model: nn.Module, *, rank: int, alpha: float, targets: Sequence[str]) -> None:
    """Give the linear layers called `targets` adapters, and let nothing else of `model` learn.

    Raises:
        UsageError: there is no such layer.
    """
    model.requires_grad_(False)
    found = list(_layers(model, targets))
    if missing := sorted(set(targets) - {name for _, name, _ in found}):
        raise UsageError(
            f"training.lora: the model has no layer {missing[0]!r}", hint="qkv, out, up and down are there"
        )
    for parent, name, layer in found:
        setattr(parent, name, AdaptedLinear(layer, rank=rank, alpha=alpha))


def _layers(model: nn.Module, targets: Sequence[str]) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Module, name in it, and layer."""
    for path, parent in model.named_modules():
        for name, child in parent.named_children():
            inside = f"{path}.{name}".startswith(ADAPTED)
            if inside and name in targets and isinstance(child, nn.Linear) and set(child.state_dict()) == {"weight"}:
                yield parent, name, child


def merged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a plain model: adapters are added to the weights that they adapt."""
    plain = {name: tensor for name, tensor in state.items() if not is_adapter(name)}
    for name, down in state.items():
        layer, _, last = name.rpartition(".")
        if last == DOWN:
            added = state[f"{layer}.{SCALE}"] * (state[f"{layer}.{UP}"] @ down)
            plain[f"{layer}.weight"] = plain[f"{layer}.weight"] + added
    return plain


def is_adapter(name: str) -> bool:
    """Whether a tensor belongs to an adapter, by its name."""
    return name.rpartition(".")[2] in (DOWN, UP, SCALE)
