"""The discriminator's part in an update."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.utils import get_total_norm
from torch.optim import AdamW, Optimizer

from aurl.loss.adversarial import Heard, Music, Verdict, deception, discriminator_loss, feature_distance
from aurl.loss.penalties import GRADIENT_PENALTY, R1, REGULARISED, Penalties, Penalty
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.loss.terms import ADVERSARIAL, FEATURE_MATCHING
from aurl.model.discriminator import Discriminator, Input, View, straight_through
from aurl.model.discriminator.discriminator import LAST_STAGE
from aurl.model.latents.levels import LOCAL
from aurl.model.latents.parts import Reconstruction
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import PAD
from aurl.training.batches import Batch
from aurl.training.optim import FUSED_DEVICES
from aurl.training.stabiliser import Stabiliser
from aurl.training.state import Stateful
from aurl.training.weighing import last_layer, pulls

BETAS = (0.0, 0.99)
"""No momentum: what a discriminator learned of an earlier generator misleads it (Karras et al., ICLR 2018)."""
DISCRIMINATOR, DISCRIMINATOR_ACCURACY = "discriminator", "discriminator_accuracy"
"""Names in the log of the discriminator's own loss, and of the share of its scores that are on the right side."""
HEARD, JUDGED = "heard", "judged"
"""Names of sums of targets, which are not logged: of what the generator heard, and of what was judged."""
MEANS_OVER = {
    ADVERSARIAL: HEARD,
    FEATURE_MATCHING: HEARD,
    DISCRIMINATOR: JUDGED,
    GRADIENT_PENALTY: JUDGED,
    R1: REGULARISED,
}
"""Part, and what is logged as `PART_…`, → the sum of targets that it is a mean over; what is not here: all targets."""
COUNTS = (HEARD, JUDGED, REGULARISED)


@dataclass
class Adversary:
    """A discriminator and what trains it.

    Args:
        accelerator: prepared `model`.
        model: as Accelerate wrapped it.
        plain: the same discriminator, unwrapped.
        optimizer: never wrapped: Accelerate has one loss scale, which it would update, and divide by, once too often.
        stabiliser: whose turn it is.
        weights: name → weight of what the generator hears, before the stabiliser's factor.
        penalties: of the discriminator.
        scaler: of the discriminator's loss in fp16, None otherwise.
        stage: how much it hears; 0: its time has not come.
    """

    accelerator: Accelerator
    model: nn.Module
    plain: Discriminator
    optimizer: Optimizer
    stabiliser: Stabiliser
    weights: Mapping[str, float]
    penalties: Penalties
    scaler: GradScaler | None = None
    stage: int = 0
    _seen: Tensor | None = None
    _pulls: Tensor | None = None

    @property
    def memory(self) -> dict[str, Stateful]:
        """Name → what of it is kept in checkpoints beside tensors."""
        memory: dict[str, Stateful] = {"stabiliser": self.stabiliser}
        return memory if self.scaler is None else memory | {"discriminator_scale": cast("Stateful", self.scaler)}

    @property
    def listens(self) -> bool:
        """Whether it takes part."""
        return self.stage > 0 and not self.stabiliser.off

    @property
    def demands(self) -> tuple[int, bool]:
        """What the memory that it takes depends on: how much it hears, and whether the generator listens to it."""
        return self.stage, self.stabiliser.is_listened_to

    @property
    def weights_now(self) -> dict[str, float]:
        """Name → weight of what the generator hears."""
        factor = self.stabiliser.factor
        return {name: factor * weight for name, weight in self.weights.items()}

    def begin(self) -> None:
        """An update begins, perhaps again: nothing has been heard in it."""
        self._seen = self._pulls = None

    def judge(
        self, generator: MusicTransformerVAEGAN, batch: Batch, latent: Reconstruction, scale: float
    ) -> tuple[dict[str, Tensor], Heard | None]:
        """One backward pass of the discriminator, and what it hears, through which the generator can learn.

        It takes no step here: real windows are heard once, and both sides step together.

        Args:
            generator: whose id table and encoder are used; unwrapped.
            batch: real windows, on the device.
            latent: what the generator made of them.
            scale: factor of the loss.

        Returns:
            Its own losses by name in the log, as sums over targets, and what the generator hears, if it is to.
        """
        turn = self.stabiliser.turn
        with torch.no_grad():
            table = generator.embedding.tables().ids
        with torch.set_grad_enabled(turn.deceives):
            played = Played(*self._pair(generator, batch, latent), table, (batch.targets != PAD).sum(1))
        verdict, extra = self._learn(played, scale) if turn.learns else (self._verdict(self.plain, played), {})
        heard = None
        if turn.deceives:
            with frozen(self.plain):
                heard = Heard(verdict.real, self._listen(self.plain, played.fake, table), played.tokens)
        if heard is not None and turn.weighed:
            self._weigh(generator, latent.logits, batch.targets, heard)
        self._note(verdict, heard, played.tokens.sum())
        return parts_of(verdict, heard, played.tokens.sum()) | extra, heard

    @property
    def norms(self) -> list[Tensor]:
        """Norm of its gradient; empty where it has none, or where its loss scale leaves out what is not finite."""
        gradients = [one.grad for one in self.plain.parameters() if one.grad is not None]
        return [get_total_norm(gradients)] if gradients and self.scaler is None else []

    def step(self, *, sound: bool) -> None:
        """End an update; all of it is forgotten where it was not `sound`."""
        seen, found = self._seen, self._pulls
        self.begin()
        if sound and self.stabiliser.turn.learns:
            if self.scaler is None:
                self.optimizer.step()
            else:
                self.scaler.step(self.optimizer)
                self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if sound and seen is not None:
            lengths = None if found is None else self.accelerator.reduce(found, "sum").flatten(1).norm(dim=1)
            self.stabiliser.take(self.accelerator.reduce(seen, "sum"), lengths)

    def _learn(self, played: "Played", scale: float) -> tuple[Verdict, dict[str, Tensor]]:
        cost, parts = self._penalty(played)
        verdict = self._verdict(self.model, played)
        # One backward pass for both, so that processes average each gradient once.
        loss = (verdict.loss + cost) * scale / self.accelerator.gradient_accumulation_steps
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        return verdict, parts

    def _verdict(self, model: nn.Module, played: "Played") -> Verdict:
        with torch.set_grad_enabled(self.stabiliser.turn.learns):
            return discriminator_loss(
                lambda music: self._listen(model, music, played.table), played.real, played.fake, played.tokens
            )

    def _penalty(self, played: "Played") -> Penalty:
        if not self.penalties.any:
            return Penalty(0.0, {})
        real, fake = (self._inputs(music, played.table) for music in (played.real, played.fake))
        return self.penalties(self.plain.scores, real, fake, played.tokens, lazy=self.stabiliser.turn.regularised)

    def _weigh(self, generator: MusicTransformerVAEGAN, logits: Tensor, targets: Tensor, heard: Heard) -> None:
        told = {
            ADVERSARIAL: deception(heard.fake, heard.tokens),
            FEATURE_MATCHING: feature_distance(heard.real, heard.fake, heard.tokens),
        }
        costs = [cross_entropy_sum(logits, targets), sum_of(told, self.weights)]
        found = pulls(costs, last_layer(generator))
        self._pulls = found if self._pulls is None else self._pulls + found

    def _note(self, verdict: Verdict, heard: Heard | None, tokens: Tensor) -> None:
        said = [verdict.correct, verdict.loss.detach(), tokens]
        nothing = torch.zeros_like(tokens)
        said += [nothing, nothing] if heard is None else [deception(heard.fake, heard.tokens).detach(), tokens]
        seen = torch.stack([one.float() for one in said])
        self._seen = seen if self._seen is None else self._seen + seen

    def _listen(self, model: nn.Module, music: Music, table: Tensor) -> Sequence[View]:
        views: list[View] = model(music.ids, table, stage=self.stage, **_facts(music))
        return views

    def _inputs(self, music: Music, table: Tensor) -> list[Input]:
        ids = music.ids.argmax(-1) if music.ids.is_floating_point() else music.ids
        return self.plain.inputs(ids, table, stage=self.stage, **_facts(music))

    @property
    def _hears_latents(self) -> bool:
        return self.plain.latent is not None and self.stage >= LAST_STAGE

    def _pair(self, generator: MusicTransformerVAEGAN, batch: Batch, latent: Reconstruction) -> tuple[Music, Music]:
        """Real windows, and ids drawn at every place with the real ones before it (gradient: Bengio et al., 2013)."""
        real = Music(batch.following, batch.following != PAD)
        fake = Music(straight_through(latent.logits), real.real)
        if not self._hears_latents:
            return real, fake
        with self.accelerator.autocast():
            soft = generator.encode_soft(fake.ids, fake.real, batch.start_steps)[LOCAL]
        hard = latent.posteriors[LOCAL]
        return (
            real._replace(locals_=hard.mean, locals_real=hard.real),
            fake._replace(locals_=soft.mean, locals_real=soft.real),
        )


class Played(NamedTuple):
    """What the discriminator is played in a batch.

    Args:
        real: windows of music.
        fake: what the generator makes of them.
        table: (V, d_embedding) of ids.
        tokens: (B,) targets of each window.
    """

    real: Music
    fake: Music
    table: Tensor
    tokens: Tensor


def parts_of(verdict: Verdict, heard: Heard | None, tokens: Tensor) -> dict[str, Tensor]:
    """What is logged of a batch, and the targets that it is a mean over."""
    parts = {DISCRIMINATOR: verdict.loss.detach(), DISCRIMINATOR_ACCURACY: verdict.correct, JUDGED: tokens}
    for view, loss in verdict.parts.items():
        parts |= {f"{DISCRIMINATOR}_{view}": loss, f"{JUDGED}_{view}": tokens}
    if heard is not None:
        parts |= {HEARD: tokens, **{f"{HEARD}_{view.name}": tokens for view in heard.fake}}
    return parts


def sum_of(costs: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Mean by weight; what has none counts for nothing."""
    total = sum(weights.values()) or 1.0
    return torch.stack([weights[name] / total * cost for name, cost in costs.items()]).sum()


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


def _facts(music: Music) -> dict[str, Any]:
    return {"real": music.real, "locals_": music.locals_, "locals_real": music.locals_real}
