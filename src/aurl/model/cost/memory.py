"""What a forward pass keeps for the backward pass, in bytes, of one window.

Counted is what autograd saves on a CPU: inputs of linear layers and norms, queries, keys, values, and the masks of
dropout. The scores of attention are computed anew in the backward pass.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

from torch import nn

from aurl.model.cost.flops import blocks_of
from aurl.model.latents.echo import SHARE
from aurl.model.latents.encoder import Encoder
from aurl.model.latents.parts import LatentParts
from aurl.model.latents.pooling import AttentionPooling, OrderedPooling
from aurl.model.latents.posterior import PosteriorHead
from aurl.model.layers import Block
from aurl.model.prior.hierarchy import LatentPrior
from aurl.model.prior.lower import LowerPrior
from aurl.model.prior.normal import FromContext
from aurl.model.vae_gan import MusicTransformerVAEGAN

FP32, HALF = 4, 2
INDEX = 8
STATISTICS = 2 * FP32
"""A norm keeps mean and deviation of each vector."""
POSTERIOR_COPIES = 4
"""Numbers that are kept for each dimension of a latent."""
CONTEXT_COPIES = 12
"""Numbers that are kept for each dimension of what tells a prior of the past; eight of them by the GRU."""
MOMENT_COPIES = 2.5
"""Numbers that are kept for each parameter of a distribution."""
LOGIT_COPIES = 3
"""fp32 tensors of logits that stand side by side in a loss and its backward pass."""


class Numbers(NamedTuple):
    """How a forward pass computes.

    Args:
        width: bytes of a number.
        dropout: whether there is any; its masks are as large as what they mask.
    """

    width: int
    dropout: bool


def norm_bytes(d_model: int) -> int:
    """Of one vector: what is normalised, in fp32."""
    return FP32 * d_model + STATISTICS


def embedding_bytes(d_model: int, numbers: Numbers) -> int:
    """Of one token: what is normalised, the mask of dropout, and three places in tables."""
    return norm_bytes(d_model) + numbers.dropout * FP32 * d_model + 3 * INDEX


def table_bytes(model: MusicTransformerVAEGAN, numbers: Numbers) -> float:
    """Of a whole batch: in half precision copies of what the tables are made of, and of the output layer."""
    embedding = model.embedding
    copied = (embedding.numbers, embedding.phases, embedding.elapsed, embedding.ids)
    return float(HALF * sum(table.numel() for table in copied)) if numbers.width == HALF else 0.0


def output_bytes(d_model: int, vocabulary_size: int, numbers: Numbers) -> int:
    """Of one token: the last norm, and logits."""
    return norm_bytes(d_model) + numbers.width * d_model + logit_bytes(vocabulary_size, numbers)


def logit_bytes(vocabulary_size: int, numbers: Numbers) -> int:
    """Of one vector of logits, with those of the loss."""
    return vocabulary_size * (LOGIT_COPIES * FP32 + numbers.width)


def attention_bytes(block: Block, length: int, numbers: Numbers) -> float:
    """Of one vector among `length`: input of norm and layer, queries, keys, values and what they are mixed to."""
    d_model = block.attention.out.in_features
    more = block.attention.kind.kept_bytes(length, numbers.width)
    return norm_bytes(d_model) + numbers.width * (5 + numbers.dropout) * d_model + more


def feed_forward_bytes(block: Block, numbers: Numbers) -> int:
    """Of one vector: input of norm and layer, and both sides of what is between."""
    linear = block.feed_forward.up
    kept = (1 + numbers.dropout) * linear.in_features + 2 * linear.out_features
    return norm_bytes(linear.in_features) + numbers.width * kept


def block_bytes(block: Block, length: int, numbers: Numbers) -> float:
    """Of one vector among `length`."""
    return attention_bytes(block, length, numbers) + feed_forward_bytes(block, numbers)


def decoder_bytes(model: MusicTransformerVAEGAN, length: int, numbers: Numbers) -> dict[str, float]:
    """Part → bytes of a window; with checkpointing what goes into each block, and one block in full."""
    blocks, d_model = model.decoder.layers(), model.embedding.ids.shape[1]
    whole, between = blocks, 0
    if model.decoder.checkpointing:
        whole, between = (
            [max(blocks, key=lambda block: block_bytes(block, length, numbers))],
            FP32 * d_model * len(blocks),
        )
    turns = FP32 * d_model // blocks[0].attention.n_heads
    found = {
        "decoder.attention": sum(attention_bytes(block, length, numbers) for block in whole) + between + turns,
        "decoder.feed_forward": sum(feed_forward_bytes(block, numbers) for block in whole),
        "output": output_bytes(d_model, model.vocabulary_size, numbers),
    }
    return {part: float(length * kept) for part, kept in found.items()}


def latent_bytes(parts: LatentParts, vocabulary_size: int, length: int, numbers: Numbers) -> dict[str, float]:
    """Part → bytes of a window."""
    rows = {level.name: level.count(length) for level in parts.encoder.levels}
    logits = logit_bytes(vocabulary_size, numbers)
    return {
        "encoder.tokens": _block_list_bytes(parts.encoder.blocks, length, numbers),
        "encoder.segments": segment_bytes(parts.encoder, length, numbers),
        "stream": float(length * numbers.width * parts.stream.size),
        "prior": prior_bytes(parts.prior, rows),
        "bags": float(sum(rows.values()) * logits),
        "echo": float(length // SHARE * (numbers.width * parts.stream.size + logits)),
    }


def _block_list_bytes(modules: nn.Module, length: int, numbers: Numbers) -> float:
    """Of blocks that are told which vectors are real, one flag for each head."""
    blocks = blocks_of(modules)
    return length * sum(block_bytes(block, length, numbers) + block.attention.n_heads for block in blocks)


def segment_bytes(encoder: Encoder, length: int, numbers: Numbers) -> float:
    """Pooling, blocks over segments, and posteriors."""
    total, below = 0.0, length
    for level in reversed(encoder.levels):
        count, pooling = level.count(length), encoder.poolings[level.name]
        if isinstance(pooling, AttentionPooling):
            looks = 2 * FP32 * pooling.queries.shape[0]
            total += below * (3 * numbers.width * pooling.queries.shape[1] + looks)
        elif isinstance(pooling, OrderedPooling):
            total += below * numbers.width * (pooling.narrow.in_features + pooling.narrow.out_features)
            total += _block_list_bytes(encoder.segment_blocks[level.name], count, numbers)
        head = cast("PosteriorHead", encoder.heads[level.name])
        total += below * norm_bytes(head.mean.in_features) + count * head_bytes(head)
        below = count
    return total


def head_bytes(head: PosteriorHead) -> int:
    """Of one segment: its features, and what a posterior is computed and drawn with."""
    return FP32 * (head.mean.in_features + POSTERIOR_COPIES * head.mean.out_features)


def prior_bytes(prior: LatentPrior, rows: Mapping[str, int]) -> float:
    """Of all latents of a window, `rows` of each level; in fp32."""
    total = _kind_numbers(prior.prior)
    for name, module in prior.lower.items():
        lower = cast("LowerPrior", module)
        context = CONTEXT_COPIES * lower.mix.out_features
        total += rows[name] * (lower.join.in_features + context + _kind_numbers(lower.prior))
    return float(FP32 * total)


def _kind_numbers(kind: nn.Module) -> float:
    """About how many numbers a distribution keeps: what its layers take, and several times what they give."""
    found = 0.0
    for module in kind.modules():
        if isinstance(module, nn.Linear):
            found += module.in_features + 2 * module.out_features
        elif isinstance(module, FromContext):
            found += MOMENT_COPIES * module.bias.numel()
    return found
