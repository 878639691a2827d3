"""The parts of a model, and what each of them costs in a training step."""

from typing import NamedTuple

from torch import nn

from aurl.model.cost.flops import decoder_flops, latent_flops, table_flops, weights
from aurl.model.cost.memory import FP32, HALF, Numbers, decoder_bytes, embedding_bytes, latent_bytes, table_bytes
from aurl.model.cost.views import REAL_AND_MADE, ViewCost, view_costs
from aurl.model.discriminator import Discriminator
from aurl.model.latents.levels import LOCAL
from aurl.model.latents.parts import LatentParts
from aurl.model.vae_gan import MusicTransformerVAEGAN

FORWARD_AND_BACKWARD = 3
"""Forward passes that both take: the backward pass has one product for the weights and one for what goes in."""
TO_INPUTS_ONLY = 2
"""The same where no weight learns."""


class Batch(NamedTuple):
    """What a step learns from.

    Args:
        size: windows.
        length: tokens of each.
        half: the forward pass runs in bf16 or fp16.
    """

    size: int
    length: int
    half: bool

    @property
    def tokens(self) -> int:
        """In all windows."""
        return self.size * self.length


class Cost(NamedTuple):
    """Of one part and a whole batch.

    Args:
        parameters: trained numbers.
        flops: operations of a forward pass.
        training_flops: operations of all passes of a step.
        kept: bytes kept for the backward pass.
        averaged: whether it is part of what a running average is kept of.
    """

    parameters: int
    flops: float
    training_flops: float
    kept: float
    averaged: bool = True


def costs_of(model: MusicTransformerVAEGAN, discriminator: Discriminator | None, batch: Batch) -> dict[str, Cost]:
    """Part → its cost."""
    latent = model.latents
    numbers = Numbers(HALF if batch.half else FP32, model.dropout > 0)
    flops, kept = decoder_flops(model, batch.length), decoder_bytes(model, batch.length, numbers)
    if latent is not None:
        flops |= latent_flops(latent, batch.length)
        kept |= latent_bytes(latent, model.vocabulary_size, batch.length, numbers)
    found = {"embedding": _embedding_cost(model, batch, numbers)}
    for part, modules in _modules(model, latent).items():
        # Autocast keeps a copy of each weight until the backward pass.
        copies = HALF * weights(*modules) if batch.half and part != "prior" else 0
        of_batch = batch.size * flops[part]
        found[part] = Cost(
            _count(*modules), of_batch, FORWARD_AND_BACKWARD * of_batch, batch.size * kept.get(part, 0.0) + copies
        )
    return found | ({} if discriminator is None else _discriminator_costs(model, discriminator, found, batch, numbers))


def _modules(model: MusicTransformerVAEGAN, latent: LatentParts | None) -> dict[str, list[nn.Module]]:
    """Part → its modules; the output layer is the embedding."""
    blocks = model.decoder.layers()
    found: dict[str, list[nn.Module]] = {
        "decoder.attention": [block.attention for block in blocks],
        "decoder.feed_forward": [block.feed_forward for block in blocks],
    }
    if latent is None:
        return found | {"output": []}
    encoder = latent.encoder
    return found | {
        "decoder.hearing": [model.decoder.hearing],
        "output": [],
        "encoder.tokens": [encoder.blocks],
        "encoder.segments": [encoder.poolings, encoder.segment_blocks, encoder.heads],
        "stream": [latent.stream],
        "prior": [latent.prior],
        "bags": [latent.bags],
        "echo": [latent.echo],
    }


def _count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _embedding_cost(model: MusicTransformerVAEGAN, batch: Batch, numbers: Numbers) -> Cost:
    """Tables are made once for a batch; with latents what follows is embedded as well as what goes in."""
    flops, passes = table_flops(model), 2 if model.levels else 1
    kept = passes * batch.tokens * embedding_bytes(model.embedding.ids.shape[1], numbers)
    return Cost(_count(model.embedding), flops, FORWARD_AND_BACKWARD * flops, kept + table_bytes(model, numbers))


def _discriminator_costs(
    model: MusicTransformerVAEGAN,
    discriminator: Discriminator,
    generator: dict[str, Cost],
    batch: Batch,
    numbers: Numbers,
) -> dict[str, Cost]:
    """Of what it hears, which the encoder reads once more where local latents are heard; and of each view."""
    soft = 2.0 * batch.tokens * model.embedding.ids.numel()
    heard = [cost for part, cost in generator.items() if part.startswith("encoder.")] if discriminator.latent else []
    flops = sum(cost.flops for cost in heard) + (soft if heard else 0.0)
    one_hots = 2 * FP32 * model.vocabulary_size * batch.tokens
    found = {"discriminator.input": Cost(0, flops, TO_INPUTS_ONLY * flops, one_hots + sum(cost.kept for cost in heard))}
    n_locals = sum(level.count(batch.length) for level in model.levels if level.name == LOCAL)
    views = view_costs(
        discriminator,
        vocabulary_size=model.vocabulary_size,
        length=batch.length,
        n_locals=n_locals,
        width=numbers.width,
    )
    parameters = {name: _count(view) for name, view in discriminator.scales.items()} | {
        name: _count(view) for name, view in discriminator.named_children() if name != "scales"
    }
    return found | {
        f"discriminator.{name}": _view_cost(view, parameters[name], batch.size) for name, view in views.items()
    }


def _view_cost(view: ViewCost, parameters: int, batch_size: int) -> Cost:
    """In a step it learns from ids, real and generated, and then passes on what it hears in one-hots."""
    forward = view.shared + batch_size * (view.reading + view.hearing)
    learning = view.shared + REAL_AND_MADE * batch_size * view.hearing
    training = FORWARD_AND_BACKWARD * learning + TO_INPUTS_ONLY * forward
    return Cost(parameters, forward, training, batch_size * view.kept, averaged=False)
