"""What a model costs before it is built: parameters, memory, arithmetic, part by part."""

from collections.abc import Mapping
from dataclasses import dataclass

from aurl.model.cost.memory import FP32
from aurl.model.cost.parts import Batch, Cost, costs_of
from aurl.model.discriminator import Discriminator
from aurl.model.vae_gan import MusicTransformerVAEGAN

GRADIENT_AND_ADAM = 3
"""Numbers for each parameter: its gradient and AdamW's two averages; Muon has only one of those."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """Size and cost of one part.

    Attributes:
        parameters: trained numbers.
        weight_bytes: of the fp32 weights.
        optimizer_bytes: gradients, AdamW's state and, where there is one, the weight average.
        activation_bytes: kept from the forward to the backward pass of one batch.
        forward_flops_per_token: operations of a forward pass, divided by the tokens of the batch.
    """

    parameters: int
    weight_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    forward_flops_per_token: float


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Size and cost of a model and of one training step.

    Attributes:
        parts: name → what it costs; a discriminator's are those of one forward pass over what the model made.
        cache_bytes_per_token: what generation keeps of each token of one piece, in the mean over a window.
        training_flops_per_step: all that is done with one batch.
        seq_len: tokens in a window.
        batch_size: windows in a batch.
        adapters: numbers that learn in place of the parameters; 0: those do.
    """

    parts: Mapping[str, PartReport]
    cache_bytes_per_token: int
    training_flops_per_step: float
    seq_len: int
    batch_size: int
    adapters: int = 0

    @property
    def parameters(self) -> dict[str, int]:
        """Part → trained numbers."""
        return {name: part.parameters for name, part in self.parts.items()}

    @property
    def total_parameters(self) -> int:
        """All trained numbers."""
        return sum(self.parameters.values())

    @property
    def weight_bytes(self) -> int:
        """Of the fp32 weights."""
        return sum(part.weight_bytes for part in self.parts.values())

    @property
    def optimizer_bytes(self) -> int:
        """Of gradients, AdamW's state and the weight average."""
        return sum(part.optimizer_bytes for part in self.parts.values())

    @property
    def activation_bytes(self) -> int:
        """Kept from the forward to the backward pass of one batch."""
        return sum(part.activation_bytes for part in self.parts.values())

    @property
    def training_bytes(self) -> int:
        """Memory of one training step, without the program itself."""
        return self.weight_bytes + self.optimizer_bytes + self.activation_bytes

    @property
    def forward_flops_per_token(self) -> float:
        """Of all parts."""
        return sum(part.forward_flops_per_token for part in self.parts.values())


def report(
    model: MusicTransformerVAEGAN,
    discriminator: Discriminator | None = None,
    *,
    seq_len: int,
    batch_size: int,
    half: bool = True,
    average: bool = True,
) -> ModelReport:
    """The cost of `model`, which may be on the meta device.

    Args:
        model: what is asked about.
        discriminator: what trains with it.
        seq_len: tokens in a training window.
        batch_size: windows in a batch.
        half: the forward pass runs in bf16 or fp16.
        average: an average of the model's weights is kept.
    """
    batch = Batch(batch_size, seq_len, half=half)
    costs = costs_of(model, discriminator, batch)
    parts = {
        name: PartReport(
            cost.parameters,
            FP32 * cost.parameters,
            FP32 * (GRADIENT_AND_ADAM + (average and cost.averaged)) * cost.parameters,
            round(cost.kept),
            cost.flops / batch.tokens,
        )
        for name, cost in costs.items()
    }
    return ModelReport(parts, cache_bytes_per_token(model, seq_len), training_flops(model, costs), seq_len, batch_size)


def cache_bytes_per_token(model: MusicTransformerVAEGAN, length: int) -> int:
    """Keys and values of every layer, and the stream, in the mean over a piece of `length` tokens."""
    d_model = model.embedding.ids.shape[1]
    keys = sum(block.attention.kind.cached_keys(length) for block in model.decoder.layers())
    stream = 0 if model.latent_stream is None else model.latent_stream.size
    return round(FP32 * (2 * d_model * keys / length + stream))


def training_flops(model: MusicTransformerVAEGAN, costs: Mapping[str, Cost]) -> float:
    """Of all passes over one batch; with checkpointing one more of the decoder's blocks."""
    again = ("decoder.attention", "decoder.feed_forward") if model.decoder.checkpointing else ()
    return sum(cost.training_flops + (cost.flops if name in again else 0.0) for name, cost in costs.items())
