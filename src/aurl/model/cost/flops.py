"""Products of matrices in one forward pass: two operations for each number that meets a weight.

What is no product of matrices is left out. What is done for each segment, or once for a whole batch, is counted so.
"""

from collections.abc import Mapping
from typing import cast

from torch import nn

from aurl.model.latents.echo import SHARE
from aurl.model.latents.encoder import Encoder
from aurl.model.latents.parts import LatentParts
from aurl.model.latents.pooling import AttentionPooling, OrderedPooling
from aurl.model.layers import Block
from aurl.model.prior.hierarchy import LatentPrior
from aurl.model.prior.normal import FromContext
from aurl.model.vae_gan import MusicTransformerVAEGAN


def weights(*modules: nn.Module) -> int:
    """Weights that a vector meets on its way through `modules`."""
    return sum(_own_weights(part) for module in modules for part in module.modules())


def _own_weights(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):  # its `weight` may be something that is computed at each look
        return module.in_features * module.out_features
    if isinstance(module, nn.GRU | FromContext):
        return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() == 2)
    return 0


def decoder_flops(model: MusicTransformerVAEGAN, length: int) -> dict[str, float]:
    """Part → operations for a window of `length` tokens."""
    blocks = model.decoder.layers()
    found = {
        "decoder.attention": sum(attention_flops(block, length) for block in blocks),
        "decoder.feed_forward": 2.0 * length * weights(*(block.feed_forward for block in blocks)),
        "output": 2.0 * length * model.embedding.ids.numel(),
    }
    if model.levels:
        found["decoder.hearing"] = 2.0 * length * weights(model.decoder.hearing)
    return found


def table_flops(model: MusicTransformerVAEGAN) -> float:
    """Operations for the tables of the embedding, which a whole batch shares."""
    embedding = model.embedding
    numbers = (embedding.numbers, embedding.phases, embedding.elapsed)
    return 2.0 * embedding.ids.shape[1] * sum(table.numel() for table in numbers)


def latent_flops(parts: LatentParts, length: int) -> dict[str, float]:
    """Part → operations for a window: finding its latents, and what is made of them beside the decoder."""
    rows = {level.name: level.count(length) for level in parts.encoder.levels}
    return {
        "encoder.tokens": sum(block_flops(block, length) for block in blocks_of(parts.encoder.blocks)),
        "encoder.segments": segment_flops(parts.encoder, length),
        "stream": _by_level(parts.stream.unfold, rows),
        "prior": prior_flops(parts.prior, rows),
        "bags": _by_level(parts.bags.of, rows),
        "echo": 2.0 * (length // SHARE) * weights(parts.echo),
    }


def attention_flops(block: Block, length: int) -> float:
    """The weights', and four for each dimension and visible key: scores and mixing."""
    attention = block.attention
    keys = attention.kind.mean_keys(length)
    return 2.0 * length * weights(attention) + 4.0 * length * attention.out.in_features * keys


def block_flops(block: Block, length: int) -> float:
    """Of one block over `length` vectors."""
    return attention_flops(block, length) + 2.0 * length * weights(block.feed_forward)


def segment_flops(encoder: Encoder, length: int) -> float:
    """Pooling, blocks over segments, and posteriors."""
    total, below = 0.0, length
    for level in reversed(encoder.levels):
        count, pooling = level.count(length), encoder.poolings[level.name]
        if isinstance(pooling, AttentionPooling):
            looks = 2 * pooling.queries.numel()  # at each vector below: scores and mixing
            total += 2.0 * (below * (weights(pooling.value) + looks) + weights(pooling.join))
        elif isinstance(pooling, OrderedPooling):
            total += 2.0 * (below * weights(pooling.narrow) + count * weights(pooling.join))
            total += sum(block_flops(block, count) for block in blocks_of(encoder.segment_blocks[level.name]))
        total += 2.0 * count * weights(encoder.heads[level.name])
        below = count
    return total


def prior_flops(prior: LatentPrior, rows: Mapping[str, int]) -> float:
    """Densities of all latents of a window, `rows` of each level."""
    top = weights(prior.prior) + (0 if prior.conditions is None else weights(prior.conditions))
    return 2.0 * top + _by_level(prior.lower, rows)


def blocks_of(modules: nn.Module) -> list[Block]:
    """The blocks in a list of modules."""
    return cast("list[Block]", list(modules.children()))


def _by_level(modules: nn.ModuleDict, rows: Mapping[str, int]) -> float:
    return sum(2.0 * rows[name] * weights(module) for name, module in modules.items())
