"""What was found, and what it means in words: where a number is bad, what to do next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aurl.latent.metrics.scores import LevelMetrics
from aurl.latent.stats import LevelStats, Stats

FEW_ACTIVE = 0.5
"""Share of dimensions."""
UNHEARD_COST = 0.005
"""Nats per token: what a level must be worth, at least, or it is not listened to."""
WASTED = 0.25
"""Share of a level's divergence that all its latents have in common."""
TOLD_APART = 0.75
NOTHING_TOLD = 0.05
"""Share of the variance of factors: less is nothing."""


@dataclass(frozen=True)
class Finding:
    """The result of one look at latents.

    Args:
        name: "stats", "metrics", "project", "attributes", "traverse" or "interpolate".
        facts: as JSON.
        remarks: sentences.
        pictures: file name → PNG.
    """

    name: str
    facts: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    pictures: Mapping[str, bytes] | None = None


def remarks_on_stats(stats: Stats) -> tuple[str, ...]:
    """What stands out, and what to do about it."""
    return tuple(sentence for level in stats.levels for sentence in _on_level(level))


def _on_level(level: LevelStats) -> Iterator[str]:
    yield from _on_use(level)
    if not level.active:
        return
    if level.gap is not None and level.kl > 0 and level.gap > WASTED * level.kl:
        yield (
            f"{level.gap:.1f} of the {level.kl:.1f} nats of a {level.name} latent are what all of them have in common, "
            f"and tell nothing of the music: train longer, or with less loss.free_bits_{level.name}"
        )
    if level.told_apart > TOLD_APART:
        yield (
            f"latents of music and of the prior are told apart at the {level.name} level ({level.told_apart:.0%} "
            f"right, 50% is chance): new pieces are made of other latents than the decoder knows; train with a larger "
            f"loss.beta, or a richer {_prior(level)} (mixture, flow)"
        )


def _on_use(level: LevelStats) -> Iterator[str]:
    name, told = level.name, f"{level.active} of {level.size} units active"
    if not level.active:
        yield (
            f"{name} level is silent: {told}; train with a smaller loss.beta, a later loss.kl_schedule, or more "
            f"loss.free_bits_{name}"
        )
        return
    if level.active < FEW_ACTIVE * level.size:
        yield f"{name} level is largely empty: {told}; latent.{name}_size = {level.active} would hold as much"
    if level.shuffled_cost < UNHEARD_COST:
        remedy = "latent.level_dropout" if name != "fine" else "latent.word_dropout"
        yield (
            f"nobody listens to the {name} level: with that of other music the likelihood loses "
            f"{level.shuffled_cost:.4f} nats per token, and it costs {level.kl_per_token:.4f}; train with more {remedy}"
        )


def _prior(level: LevelStats) -> str:
    return "latent.prior" if level.tokens is None else "latent.lower_prior"


def remarks_on_metrics(levels: tuple[LevelMetrics, ...]) -> tuple[str, ...]:
    """What stands out, and what to do about it."""
    return tuple(sentence for level in levels for sentence in _on_metrics(level))


def _on_metrics(level: LevelMetrics) -> Iterator[str]:
    told = level.informativeness
    if told.high < max(NOTHING_TOLD, told.chance):
        yield (
            f"the {level.name} level tells none of the measured factors (it explains {told.value:.1%} of their "
            f"variance): what it holds is in single notes, or nothing; see aurl inspect-latent stats"
        )
        return
    best = max(level.factors, key=lambda factor: factor.explained)
    yield f"the {level.name} level tells {best.name} best: {best.explained:.0%} of its variance in held-out pieces"
    if level.mig.low <= level.mig.chance:
        yield (
            f"no dimension of the {level.name} level stands for a factor by itself (MIG {level.mig.value:.3f}, "
            f"chance {level.mig.chance:.3f}), as is usual without a loss that asks for it: move along attribute "
            f"vectors instead (aurl inspect-latent attributes)"
        )
