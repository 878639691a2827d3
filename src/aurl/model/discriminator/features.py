"""Rhythm, harmony, melody and dynamics of each segment of 64 ids, so that a gradient reaches one-hots.

Conventions: means are over the onsets of the segment, or over those of its pairs that are named; a pair belongs to the
segment of its second note, and its first may lie before. Where there is nothing to take a mean of, it is 0. Onsets at
most one step apart sound together. Intervals fold octaves and inversions: 0 (unison, octave), 1 (semitone, major
seventh) … 6 (tritone). Drums are notes like any other.

=====================  ====  =======================================================================================
density                   1  onsets per id, times 2 (0…1)
pace                      1  log2(1 + beats that the segment lasts) / 4
pulse                    10  squared length of the mean of the onsets' phases, for each period of `PERIODS_STEPS`: 1
                             when all onsets are whole periods apart, 0 when they are spread evenly
gait                     10  mean cosine of how far an onset turns from the one before, for each period: the
                             characteristic function of inter-onset times
chroma                   12  share of each pitch class
blend                     7  share of each interval among all pairs of onsets, with themselves
chord                     7  of each interval among neighbours that sound together
together                  1  share of onsets that sound with the one before
height, spread            2  mean pitch in octaves above middle C, and its variance
line                      7  share of each interval among successive top notes
direction, leap           2  their mean interval in octaves, and its mean square
loudness, contrast        2  mean velocity level (-1…1), and its variance
accent                    1  mean squared change of level from one onset to the next
=====================  ====  =======================================================================================
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from aurl.model.discriminator.bounded import grouped
from aurl.model.discriminator.notes import PERIODS_STEPS, PITCH_CLASSES, Notes, taken
from aurl.tokens.vocabulary import STEPS_PER_BEAT

SEGMENT_TOKENS = 64
INTERVALS = 7
FEATURES: Mapping[str, int] = {
    "density": 1,
    "pace": 1,
    "pulse": len(PERIODS_STEPS),
    "gait": len(PERIODS_STEPS),
    "chroma": PITCH_CLASSES,
    "blend": INTERVALS,
    "chord": INTERVALS,
    "together": 1,
    "height": 1,
    "spread": 1,
    "line": INTERVALS,
    "direction": 1,
    "leap": 1,
    "loudness": 1,
    "contrast": 1,
    "accent": 1,
}
"""Name → numbers, in the order in which `musical_features` gives them."""
FEATURE_COUNT = sum(FEATURES.values())


def segmented(x: Tensor) -> Tensor:
    """`(B, T, …)` → `(B, S, 64, …)`, zeros behind."""
    return grouped(x, SEGMENT_TOKENS)


def mean(x: Tensor, weight: Tensor) -> Tensor:
    """`(B, S, F)`: means of `x` `(B, T, F)` over each segment, by `weight` `(B, T)`."""
    total = segmented(weight).sum(2)[..., None]
    return segmented(x * weight[..., None]).sum(2) / torch.where(total > 0, total, 1)


def intervals(one: Tensor, other: Tensor) -> Tensor:
    """`(…, 7)`: how much of each interval lies between pitch classes `(…, 12)`."""
    found = [(one * other.roll(k, -1)).sum(-1) + (one * other.roll(-k, -1)).sum(-1) for k in range(INTERVALS)]
    found[0], found[-1] = found[0] / 2, found[-1] / 2  # up and down are the same there
    return torch.stack(found, -1)


def musical_features(notes: Notes) -> dict[str, Tensor]:
    """Name → `(B, S, size)`, float32."""
    return {**rhythm(notes), **harmony(notes), **melody(notes), **dynamics(notes)}


def rhythm(notes: Notes) -> dict[str, Tensor]:
    """Density, pace, pulse and gait."""
    beats = segmented(notes.steps).sum(2)[..., None] / STEPS_PER_BEAT
    # Divided, not multiplied by the conjugate: then what turns both onsets has no gradient, as it has no effect.
    turn = (notes.phase / taken(notes.phase, notes.before)).real
    return {
        "density": 2 * segmented(notes.onset).mean(2)[..., None],
        "pace": torch.log2(1 + beats) / 4,
        "pulse": pulse(notes.onset[..., None], notes.phase),
        "gait": mean(turn, notes.onset * (notes.before >= 0)),
    }


def pulse(onset: Tensor, phase: Tensor) -> Tensor:
    """`(B, S, periods)`: as the sum over pairs of onsets of how one turns from the other, linear in what is between."""
    ahead, back = segmented(onset * phase), segmented(onset / phase)
    pairs = (ahead * (back.cumsum(2) - back)).real.sum(2)
    count = segmented(onset).sum(2)
    return (count + 2 * pairs) / torch.where(count > 0, count, 1).square()


def harmony(notes: Notes) -> dict[str, Tensor]:
    """Chroma, blend, chord and together."""
    chroma = mean(notes.pitch_class, notes.onset)
    simultaneous = intervals(notes.pitch_class, taken(notes.pitch_class, notes.before))
    return {
        "chroma": chroma,
        "blend": intervals(chroma, chroma),
        "chord": mean(simultaneous, notes.onset * notes.chord),
        "together": mean(notes.chord[..., None].float(), notes.onset),
    }


def melody(notes: Notes) -> dict[str, Tensor]:
    """Height, spread, line, direction and leap."""
    pitch = notes.pitch[..., None]
    height = mean(pitch, notes.onset)
    in_line = notes.onset * (notes.line_before >= 0)
    step = pitch - taken(pitch, notes.line_before)
    return {
        "height": height,
        "spread": mean(pitch.square(), notes.onset) - height.square(),
        "line": mean(intervals(notes.pitch_class, taken(notes.pitch_class, notes.line_before)), in_line),
        "direction": mean(step, in_line),
        "leap": mean(step.square(), in_line),
    }


def dynamics(notes: Notes) -> dict[str, Tensor]:
    """Loudness, contrast and accent."""
    level, heard = notes.level[..., None], notes.onset * notes.known
    loudness = mean(level, heard)
    change = level - taken(level, notes.before)
    both = heard * (notes.before >= 0) * taken(notes.known, notes.before)
    return {
        "loudness": loudness,
        "contrast": mean(level.square(), heard) - loudness.square(),
        "accent": mean(change.square(), both),
    }
