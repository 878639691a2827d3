"""What a decoder gains when latents are to steer it."""

from typing import NamedTuple

from torch import Tensor

from aurl.model.latents.bags import BagsOfIds
from aurl.model.latents.echo import Echo, EchoHead
from aurl.model.latents.encoder import Encoder
from aurl.model.latents.posterior import Posterior
from aurl.model.latents.stream import LatentStream
from aurl.model.prior.hierarchy import LatentPrior


class LatentParts(NamedTuple):
    """The modules around the latents, all for the same levels.

    Args:
        encoder: music → posteriors.
        stream: latents → what each position is told.
        prior: how likely latents are.
        bags: latents → ids in no order.
        echo: the stream → ids in their places.
        conditions: what the prior is told.
        styles: names of the styles among that, by number.
    """

    encoder: Encoder
    stream: LatentStream
    prior: LatentPrior
    bags: BagsOfIds
    echo: EchoHead
    conditions: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()


class Reconstruction(NamedTuple):
    """What a training step of a model with latents looks at.

    Args:
        logits: (B, T, V) of the id after each input.
        posteriors: level → what the encoder said, coarse to fine; real are those of music that were heard.
        kl: level → (B, n) nats from the prior, 0 where a latent is of padding or was not heard.
        bags: level → (B, n, V) logits of the ids of each segment, in any order.
        echo: logits of some ids, by the latents alone.
    """

    logits: Tensor
    posteriors: dict[str, Posterior]
    kl: dict[str, Tensor]
    bags: dict[str, Tensor]
    echo: Echo
