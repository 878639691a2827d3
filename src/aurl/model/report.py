"""What a model costs before it is built: parameters, memory, arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

from aurl.model.vae_gan import MusicTransformerVAEGAN

FP32_BYTES = 4
HALF_BYTES = 2
GRADIENT_AND_ADAM_BYTES = 3 * FP32_BYTES
"""Per parameter: its gradient and AdamW's two averages."""
LOGIT_COPIES = 3
"""fp32 tensors of logits that stand side by side in the loss and its backward pass."""
BACKWARD_FLOPS = 2
"""Arithmetic of the backward pass in forward passes; checkpointing adds one more forward pass."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Size and cost of a model and of one training step.

    Attributes:
        parameters: part → trained numbers.
        weight_bytes: of the fp32 weights.
        optimizer_bytes: gradients, AdamW's state and, where there is one, the weight average.
        activation_bytes: kept from the forward to the backward pass of one batch.
        cache_bytes_per_token: keys and values that generation adds with each token of one piece.
        forward_flops_per_token: in a window of `seq_len` tokens, see `forward_flops_per_token`.
        training_flops_per_step: forward and backward pass of one batch.
        seq_len: tokens in a window.
        batch_size: windows in a batch.
    """

    parameters: Mapping[str, int]
    weight_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    cache_bytes_per_token: int
    forward_flops_per_token: float
    training_flops_per_step: float
    seq_len: int
    batch_size: int

    @property
    def total_parameters(self) -> int:
        """All trained numbers."""
        return sum(self.parameters.values())

    @property
    def training_bytes(self) -> int:
        """Memory of one training step, without the program itself."""
        return self.weight_bytes + self.optimizer_bytes + self.activation_bytes

    def __str__(self) -> str:
        """For people."""
        parts = ", ".join(f"{part} {count:,}" for part, count in self.parameters.items())
        kept = {"weights": self.weight_bytes, "optimizer": self.optimizer_bytes, "activations": self.activation_bytes}
        shares = ", ".join(f"{name} {_mib(count)}" for name, count in kept.items())
        window = f"{self.batch_size} × {self.seq_len} tokens"
        per_step = f"{self.training_flops_per_step / 1e9:.0f} GFLOP per training step"
        lines = (
            f"parameters  {self.total_parameters:,} ({parts})",
            f"memory      {_mib(self.training_bytes)} to train on {window} ({shares})",
            f"generation  {self.cache_bytes_per_token / 2**10:.0f} KiB of cache per token",
            f"arithmetic  {self.forward_flops_per_token / 1e6:.1f} MFLOP per token forward, {per_step}",
        )
        return "\n".join(lines)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def count_parameters(model: MusicTransformerVAEGAN) -> dict[str, int]:
    """Part → trained numbers; the output layer is the embedding."""
    blocks = model.decoder.layers()
    return {
        "embedding": sum(p.numel() for p in model.embedding.parameters()),
        "attention": sum(p.numel() for block in blocks for p in block.attention.parameters()),
        "feed_forward": sum(p.numel() for block in blocks for p in block.feed_forward.parameters()),
    }


def forward_flops_per_token(model: MusicTransformerVAEGAN, seq_len: int) -> float:
    """Two operations per weight, and four per dimension and visible key for scores and mixing, averaged over a window.

    Left out is what does not grow with the batch (the embedding's tables) and what is no product of matrices.
    """
    d_model = model.embedding.ids.shape[1]
    counted = count_parameters(model)
    weights = counted["attention"] + counted["feed_forward"] + model.vocabulary_size * d_model
    keys = sum(block.attention.kind.mean_keys(seq_len) for block in model.decoder.layers())
    return 2 * weights + 4 * d_model * keys


def activation_bytes_per_token(model: MusicTransformerVAEGAN, *, half: bool) -> int:
    """What one token keeps for the backward pass.

    Per block: the residual stream twice in fp32, and in the precision of the forward pass both normalised inputs,
    queries, keys, values, mixed values, two hidden tensors and the two masks of dropout. With checkpointing only the
    stream, and one block in full. And the logits.
    """
    width = HALF_BYTES if half else FP32_BYTES
    blocks, d_model = model.decoder.layers(), model.embedding.ids.shape[1]
    masks = 2 if model.dropout else 0
    d_hidden = blocks[0].feed_forward.up.out_features
    block = 2 * FP32_BYTES * d_model + width * ((6 + masks) * d_model + 2 * d_hidden)
    inside = FP32_BYTES * d_model * len(blocks) + block if model.decoder.checkpointing else block * len(blocks)
    return inside + model.vocabulary_size * (LOGIT_COPIES * FP32_BYTES + width)


def report(
    model: MusicTransformerVAEGAN, *, seq_len: int, batch_size: int, half: bool = True, average: bool = True
) -> ModelReport:
    """The cost of `model`, which may be on the meta device.

    Args:
        model: what is asked about.
        seq_len: tokens in a training window.
        batch_size: windows in a batch.
        half: the forward pass runs in bf16 or fp16.
        average: an average of the weights is kept.
    """
    parameters = count_parameters(model)
    total = sum(parameters.values())
    per_token = forward_flops_per_token(model, seq_len)
    passes = 1 + BACKWARD_FLOPS + model.decoder.checkpointing
    d_model = model.embedding.ids.shape[1]
    return ModelReport(
        parameters=parameters,
        weight_bytes=FP32_BYTES * total,
        optimizer_bytes=(GRADIENT_AND_ADAM_BYTES + FP32_BYTES * average) * total,
        activation_bytes=batch_size * seq_len * activation_bytes_per_token(model, half=half),
        cache_bytes_per_token=2 * FP32_BYTES * d_model * len(model.decoder.layers()),
        forward_flops_per_token=per_token,
        training_flops_per_step=passes * per_token * seq_len * batch_size,
        seq_len=seq_len,
        batch_size=batch_size,
    )
