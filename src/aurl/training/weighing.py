"""How strongly two losses pull at the decoder's last layer (Esser et al., VQGAN, CVPR 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aurl.errors import UsageError
from aurl.model.vae_gan import MusicTransformerVAEGAN


def last_layer(model: MusicTransformerVAEGAN) -> Tensor:
    """The last matrix of the decoder's blocks that is trained: whatever logits say has passed it.

    Raises:
        UsageError: none is trained.
    """
    matrices = [one for one in model.decoder.blocks.parameters() if one.requires_grad and one.ndim == 2]
    if not matrices:
        raise UsageError("no matrix of the decoder is trained", hint="choose discriminator.weight_cap = 0")
    return matrices[-1]


def pulls(costs: Sequence[Tensor], layer: Tensor) -> Tensor:
    """`(len(costs), *layer.shape)` float32: gradient of each cost at `layer`; graphs stay, and `.grad` is left alone.

    Nothing is shared between processes here: DDP does not notice.
    """
    found = [torch.autograd.grad(cost, layer, retain_graph=True)[0] for cost in costs]
    return torch.stack(found).float()
