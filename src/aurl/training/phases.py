"""What changes in the course of training, as functions of progress, so that resuming needs no memory of it.

Only the schedule of beta may have one. At first many of the decoder's inputs may be hidden, so that it learns to read
the latents. What latents tell by themselves fades. The discriminator joins late, once the likelihood has made something
that is worth hearing, and hears more from stage to stage.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aurl.loss.schedules import KL_SCHEDULES, KLSchedule, constant
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


def fall(done: float, *, first: float, last: float, full: float) -> float:
    """In a straight line from `first` at 0 to `last` at `full`."""
    return first + min(1.0, done / full) * (last - first)


def stage_at(done: float, *, start: float, stages: Sequence[float]) -> int:
    """How many of `stages`, shares of what follows `start`, have been reached; 0 before `start`."""
    return bisect_right(sorted(stages), (done - start) / (1 - start)) if done >= start else 0


def kl_schedule(profile: Profile) -> KLSchedule:
    """How beta moves; in mode `transformer` there is none, which has settled."""
    return constant() if profile.model.mode == "transformer" else KL_SCHEDULES.from_component(profile.loss.kl_schedule)


def has_settled(schedule: KLSchedule, step: int, horizon_steps: int) -> bool:
    """Whether beta stays as it is from now on."""
    return progress(step, horizon_steps) >= schedule.settled


def phase_at(profile: Profile, step: int, horizon_steps: int, schedule: KLSchedule) -> Phase:
    """How the update after `step` others is done, out of `horizon_steps`.

    Args:
        profile: what was asked for.
        step: updates done so far.
        horizon_steps: of the whole training.
        schedule: of beta.
    """
    loss, latent, section = profile.loss, profile.latent, profile.discriminator
    done = progress(step, horizon_steps)
    beta = loss.beta * schedule.factor(done)
    hidden = fall(done, first=latent.word_dropout, last=latent.word_dropout_end, full=latent.word_dropout_until)
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
