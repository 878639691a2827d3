"""The loss of a model on a fixed part of music, as often as it is asked for."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from aurl.data.batching import collate
from aurl.data.dataset import TokenDataset
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.training.batches import Batch, batch_counts
from aurl.training.bound import drawing_alike
from aurl.training.steps import zero


def spread_windows(dataset: TokenDataset, count: int, *, batch_size: int) -> list[Batch]:
    """`count` windows that are evenly spread over a split, or all of them where there are no more."""
    known = len(dataset)
    count = min(count, known)
    chosen = [number * known // count for number in range(count)]
    groups = [chosen[begin : begin + batch_size] for begin in range(0, count, batch_size)]
    return [Batch.of(collate(dataset.__getitems__(group))) for group in groups]


class WindowLoss:
    """Nats per target that windows of music cost, KL divergences and all where there are latents.

    Latents are drawn alike in every call. The model is left in the mode that it is in.

    Args:
        model: whose weights may change between calls.
        batches: the music.
    """

    def __init__(self, model: MusicTransformerVAEGAN, batches: Sequence[Batch]) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._batches = [batch.to(self._device) for batch in batches]
        self.tokens = batch_counts(batches).tokens

    def __call__(self) -> Iterator[Tensor]:
        """The share of each batch, with gradient."""
        with drawing_alike(self._device):
            for batch in self._batches:
                yield sum(self._nats(batch), start=zero(self._device)) / self.tokens

    def _nats(self, batch: Batch) -> list[Tensor]:
        """Of the targets, and of each level of latents."""
        if not self._model.levels:
            return [cross_entropy_sum(self._model(batch.inputs, start_steps=batch.start_steps), batch.targets)]
        known = {"start_steps": batch.start_steps, "style": batch.style}
        latent = self._model(batch.inputs, following=batch.following, **known)
        return [cross_entropy_sum(latent.logits, batch.targets), *(kl.sum() for kl in latent.kl.values())]
