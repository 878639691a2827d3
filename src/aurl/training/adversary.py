"""The discriminator's part in an update."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from aurl.loss.adversarial import Heard, Music, Verdict, discriminator_loss
from aurl.model.discriminator import Discriminator, View, straight_through
from aurl.model.discriminator.discriminator import LAST_STAGE
from aurl.model.latents.levels import LOCAL
from aurl.model.latents.parts import Reconstruction
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import PAD
from aurl.training.batches import Batch
from aurl.training.optim import FUSED_DEVICES

BETAS = (0.0, 0.99)
"""No momentum: what a discriminator learned of an earlier generator misleads it (Karras et al., ICLR 2018)."""


@dataclass
class Adversary:
    """A discriminator and what trains it.

    Args:
        accelerator: prepared `model` and `optimizer`.
        model: as Accelerate wrapped it.
        plain: the same discriminator, unwrapped.
        optimizer: as Accelerate wrapped it.
        stage: how much it hears; 0: its time has not come.
    """

    accelerator: Accelerator
    model: nn.Module
    plain: Discriminator
    optimizer: Optimizer
    stage: int = 0

    def judge(
        self, generator: MusicTransformerVAEGAN, batch: Batch, latent: Reconstruction, scale: float
    ) -> tuple[Verdict, Heard]:
        """One backward pass of the discriminator, and what it hears, through which the generator can learn.

        It takes no step here: real windows are heard once, and both sides step together.

        Args:
            generator: whose id table and encoder are used; unwrapped.
            batch: real windows, on the device.
            latent: what the generator made of them.
            scale: factor of the loss.
        """
        real, fake = self._real(batch, latent), self._fake(generator, batch, latent)
        with torch.no_grad():
            table = generator.embedding.tables().ids
        tokens = (batch.targets != PAD).sum(1)
        verdict = discriminator_loss(lambda music: self._listen(self.model, music, table), real, fake, tokens)
        self.accelerator.backward(verdict.loss * scale)
        with frozen(self.plain):
            return verdict, Heard(verdict.real, self._listen(self.plain, fake, table), tokens)

    def _listen(self, model: nn.Module, music: Music, table: Tensor) -> Sequence[View]:
        views: list[View] = model(
            music.ids,
            table,
            real=music.real,
            locals_=music.locals_,
            locals_real=music.locals_real,
            stage=self.stage,
        )
        return views

    @property
    def _hears_latents(self) -> bool:
        return self.plain.latent is not None and self.stage >= LAST_STAGE

    def _real(self, batch: Batch, latent: Reconstruction) -> Music:
        music = Music(batch.following, batch.following != PAD)
        if not self._hears_latents:
            return music
        posterior = latent.posteriors[LOCAL]
        return music._replace(locals_=posterior.mean, locals_real=posterior.real)

    def _fake(self, generator: MusicTransformerVAEGAN, batch: Batch, latent: Reconstruction) -> Music:
        """Ids drawn at every place, with the real ids before it (Bengio et al., 2013, for their gradient)."""
        music = Music(straight_through(latent.logits), batch.following != PAD)
        if not self._hears_latents:
            return music
        with self.accelerator.autocast():
            posterior = generator.encode_soft(music.ids, music.real, batch.start_steps)[LOCAL]
        return music._replace(locals_=posterior.mean, locals_real=posterior.real)


def discriminator_optimizer(discriminator: Discriminator, lr: float) -> AdamW:
    """AdamW without momentum and decay: spectral norms are 1 anyway."""
    device = next(discriminator.parameters()).device.type
    return AdamW(discriminator.parameters(), lr=lr, betas=BETAS, weight_decay=0.0, fused=device in FUSED_DEVICES)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is computed inside gives `module` no gradient, but passes it on."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
