"""What changes in the course of training, as pure functions of progress, so that resuming needs no memory of it.

Where beta begins far below its last value, the model is at first nearly an autoencoder, and many of the decoder's
inputs may be hidden, so that it learns to read the latents. What latents tell by themselves fades. The discriminator
joins late, once the likelihood has made something that is worth hearing, and hears more from stage to stage.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aurl.profile import Profile
from aurl.training.schedules import SCHEDULES, learning_rate


@dataclass(frozen=True, slots=True)
class Phase:
    """How one update is done.

    Args:
        beta: weight of the KL divergences.
        word_dropout: share of the decoder's inputs that are hidden.
        bag: weight of what each latent tells by itself of the ids in its segment.
        echo: weight of what all latents tell by themselves of ids in their places.
        stage: how much the discriminator hears; 0: there is none, or its time has not come.
        discriminator_lr: its learning rate.
    """

    beta: float
    word_dropout: float
    bag: float = 0.0
    echo: float = 0.0
    stage: int = 0
    discriminator_lr: float = 0.0


def progress(step: int, horizon_steps: int) -> float:
    """Share of the training that is done after `step` updates, 0–1."""
    return min(1.0, step / max(1, horizon_steps))


def rise(done: float, *, first: float, last: float, hold: float, full: float) -> float:
    """`first` until `hold`, then by equal factors to `last` at `full`; by equal amounts where one of them is 0."""
    if done >= full:
        return last
    if done <= hold:
        return first
    share = (done - hold) / (full - hold)
    return first ** (1 - share) * last**share if first and last else first + share * (last - first)


def fall(done: float, *, first: float, last: float, full: float) -> float:
    """In a straight line from `first` at 0 to `last` at `full`."""
    return first + min(1.0, done / full) * (last - first)


def stage_at(done: float, *, start: float, stages: Sequence[float]) -> int:
    """How many of `stages`, shares of what follows `start`, have been reached; 0 before `start`."""
    return bisect_right(sorted(stages), (done - start) / (1 - start)) if done >= start else 0


def has_risen(profile: Profile, step: int, horizon_steps: int) -> bool:
    """Whether beta is what it is to be in the end; always where it is constant, and in mode `transformer`."""
    loss = profile.loss
    constant = profile.model.mode == "transformer" or loss.beta_start == loss.beta
    return constant or progress(step, horizon_steps) >= loss.beta_full


def phase_at(profile: Profile, step: int, horizon_steps: int) -> Phase:
    """How the update after `step` others is done, out of `horizon_steps`."""
    loss, latent, section = profile.loss, profile.latent, profile.discriminator
    done = progress(step, horizon_steps)
    beta = rise(done, first=loss.beta_start, last=loss.beta, hold=loss.beta_hold, full=loss.beta_full)
    hidden = fall(done, first=latent.word_dropout, last=latent.word_dropout_end, full=loss.beta_full)
    hints = fall(done, first=1.0, last=0.0, full=loss.hints_end)
    plain = Phase(beta, hidden, loss.bag * hints, loss.echo * hints)
    if profile.model.mode != "vae_gan":
        return plain
    stage = stage_at(done, start=section.start, stages=section.stages)
    if not stage:
        return plain
    first_step = round(section.start * horizon_steps)
    rate = learning_rate(
        max(0, step - first_step),
        max(1, horizon_steps - first_step),
        lr=section.lr,
        warmup_steps=profile.training.warmup_steps,
        min_lr_ratio=profile.training.min_lr_ratio,
        schedule=SCHEDULES.from_component(profile.training.schedule),
    )
    return replace(plain, stage=stage, discriminator_lr=rate)
