"""How much each target counts in what is minimised (a registry); what is reported is the plain likelihood."""

import math
from typing import Annotated, NamedTuple, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aurl.loss.musical.played import following, within
from aurl.model.discriminator.notes import earlier, last, taken
from aurl.registry import Registry
from aurl.tokens.vocabulary import NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, VOCABULARY_SIZE

KINDS = ("note_on", "note_off", "time_shift", "velocity", "control")
"""What targets are told apart as; `control` is all that is none of the others, PAD excepted."""
TYPICAL_SHARE = {"note_on": 0.3164, "note_off": 0.3164, "time_shift": 0.2022, "velocity": 0.1648, "control": 0.0002}
"""Of all targets, in the 2.6 million of 500 songs of POP909 (Wang et al., ISMIR 2020)."""
TYPICAL_LEADING = {"note_on": 0.1509, "note_off": 0.0, "time_shift": 0.1509, "velocity": 0.0963, "control": 0.0}
"""Share of all targets that lead to an onset, in the same songs."""
REACH = 3.0
"""Widths after which a Gaussian ends: 0.3 % of it lies beyond."""

Factor = Annotated[float, Ge(0)]


class SoftTargets(NamedTuple):
    """What is to be told, where several answers may be right.

    Args:
        ids: (B, T, K) answers.
        shares: (B, T, K) how much each of them counts; all 0 where there is PAD.
    """

    ids: Tensor
    shares: Tensor

    @property
    def weights(self) -> Tensor:
        """(B, T) how much each target counts."""
        return self.shares.sum(-1)

    def cost(self, log_probabilities: Tensor) -> Tensor:
        """Weighted negative log-likelihood, summed."""
        return -(log_probabilities.gather(2, self.ids) * self.shares).sum()


class Weighting(Protocol):
    """Weights of targets, and what else would have been nearly as right."""

    def __call__(self, targets: Tensor, ids: Tensor) -> SoftTargets:
        """Of (B, T) targets, PAD where nothing is to be predicted, and of what they are taken from, context and all."""
        ...


WEIGHTINGS: Registry[Weighting | None] = Registry("reconstruction")


def kinds_of_ids() -> Tensor:
    """`(V,)` int64: place in `KINDS` of each id; one more for PAD."""
    kinds = torch.full((VOCABULARY_SIZE,), KINDS.index("control"))
    for kind, group in enumerate((NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY)):
        kinds[group.start : group.stop] = kind
    kinds[PAD] = len(KINDS)
    return kinds


def leads(ids: Tensor) -> Tensor:
    """`(B, T)` bool: the first NOTE_ON of each point in time, the VELOCITY before it, the TIME_SHIFT that leads there.

    A point in time reaches from one TIME_SHIFT to the next. NOTE_OFFs there, and later notes of a chord, are not meant.
    """
    on, shift = within(ids, NOTE_ON), within(ids, TIME_SHIFT)
    first = on & (earlier(last(on)) <= last(shift))
    length = ids.shape[1]
    note, point = following(on), following(shift)
    after = torch.cat([point[:, 1:], torch.full_like(point[:, :1], length)], 1)
    arrives = (note < after) & taken(first, note.clamp(max=length - 1))
    return first | arrives & (shift | within(ids, VELOCITY))


class Musical:
    """Weights by kind and at onsets, and neighbours of what is told.

    Everything is divided by the weight that a target of typical music has in the mean. That is a constant: sums over
    batches and processes still add up, and other weights do not mean another learning rate.

    Args:
        factors: of each of `KINDS`.
        onset: factor where a target leads to an onset.
        ordinal: share of a TIME_SHIFT or VELOCITY that is a Gaussian around it, 0–1.
        width: its standard deviation, in steps or levels.
    """

    def __init__(self, factors: dict[str, float], *, onset: float, ordinal: float, width: float) -> None:
        factor = torch.tensor([*(factors[kind] for kind in KINDS), 0.0])[kinds_of_ids()]
        self._ids, shares = neighbours(ordinal, width)
        self._shares = shares * (factor / typical_weight(factors, onset))[:, None]
        self._onset = onset

    def __call__(self, targets: Tensor, ids: Tensor) -> SoftTargets:
        """Looked up, a row for each id."""
        if self._ids.device != targets.device:
            self._ids, self._shares = self._ids.to(targets.device), self._shares.to(targets.device)
        shares = self._shares[targets]
        if self._onset != 1:
            shares = torch.where(leads(ids)[..., None], self._onset * shares, shares)
        return SoftTargets(self._ids[targets], shares)


def neighbours(ordinal: float, width: float) -> tuple[Tensor, Tensor]:
    """`(V, K)` ids that count where an id is the target, and `(V, K)` how much; it is the middle one of them.

    Share `ordinal` is a Gaussian over the values of the id's group, cut off after `REACH` widths and where they end,
    and adds up to 1 there (soft labels; Díaz & Marathe, CVPR 2019).
    """
    reach = math.ceil(REACH * width) if ordinal else 0
    offset = torch.arange(-reach, reach + 1)
    ids = torch.arange(VOCABULARY_SIZE)[:, None].repeat(1, len(offset))
    shares = (offset == 0).float().repeat(VOCABULARY_SIZE, 1)
    for group in (TIME_SHIFT, VELOCITY) if ordinal else ():
        rows = slice(group.start, group.stop)
        beside = ids[rows] + offset
        inside = within(beside, group)
        bell = torch.exp(-0.5 * (offset / width).square()) * inside
        shares[rows] = (1 - ordinal) * shares[rows] + ordinal * bell / bell.sum(1, keepdim=True)
        ids[rows] = torch.where(inside, beside, ids[rows])
    return ids, shares


def typical_weight(factors: dict[str, float], onset: float) -> float:
    """Mean weight of a target of typical music; 1 where nothing counts."""
    share = {kind: TYPICAL_SHARE[kind] + (onset - 1) * TYPICAL_LEADING[kind] for kind in KINDS}
    return sum(factors[kind] * share[kind] for kind in KINDS) or 1.0


@WEIGHTINGS.register("plain")
def plain() -> None:
    """Every target alike: the likelihood itself."""
    return


@WEIGHTINGS.register("musical")
def musical(
    *,
    note_on: Factor = 3.0,
    note_off: Factor = 2.1,
    time_shift: Factor = 2.0,
    velocity: Factor = 1.5,
    control: Factor = 1.0,
    onset: Factor = 2.0,
    ordinal: Annotated[float, Ge(0), Le(1)] = 0.0,
    width: Annotated[float, Gt(0), Le(16)] = 1.0,
) -> Weighting:
    """What is heard most counts most, on the scale of nats; a near miss in time or loudness may count less.

    Args:
        note_on: Factor of NOTE_ON; 0 leaves a kind out.
        note_off: Of NOTE_OFF.
        time_shift: Of TIME_SHIFT.
        velocity: Of VELOCITY.
        control: Of all other ids.
        onset: Factor, besides, of the first NOTE_ON of each time and of the TIME_SHIFT and VELOCITY that lead to it.
        ordinal: Share of each TIME_SHIFT and VELOCITY target that is spread over its neighbours.
        width: Standard deviation of that spread, in steps of time and levels of velocity.
    """
    factors = dict(zip(KINDS, (note_on, note_off, time_shift, velocity, control), strict=True))
    return Musical(factors, onset=onset, ordinal=ordinal, width=width)
