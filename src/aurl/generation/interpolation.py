"""Between the latents of two songs: from direction to direction, and from beginning to beginning, end to end."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from aurl.errors import UsageError
from aurl.generation.encoding import Encoding
from aurl.generation.latents import largest_segment
from aurl.model.latents.levels import GLOBAL, Level

SMALLEST_SINE = 1e-4
"""Below it two directions are so nearly the same, or opposite, that float32 does not tell which way the arc goes."""


def places(steps: int) -> list[float]:
    """So many places from 0 to 1, evenly.

    Raises:
        UsageError: fewer than the two ends.
    """
    if steps < 2:
        raise UsageError(f"{steps} steps are no way from one song to another", hint="give 2 or more: --steps 7")
    return [step / (steps - 1) for step in range(steps)]


def slerp(one: Tensor, other: Tensor, place: float) -> Tensor:
    """At `place` (0 … 1) on the way from `one` to `other`, `(…, size)` each; the ends are these themselves.

    The direction moves along the great circle at constant speed (Shoemake, SIGGRAPH 1985), the length in a straight
    line: posterior means are not all of one length. Vectors that are nearly parallel, opposite or zero have no such
    circle; what lies between them lies on the straight line.
    """
    if place in (0, 1):
        return other if place else one
    length, other_length = (vector.norm(dim=-1, keepdim=True) for vector in (one, other))  # (…, 1)
    tiny = torch.finfo(one.dtype).tiny
    unit, other_unit = one / length.clamp_min(tiny), other / other_length.clamp_min(tiny)
    apart, together = ((unit + sign * other_unit).norm(dim=-1, keepdim=True) for sign in (-1, 1))
    angle = 2 * torch.atan2(apart, together)  # an arccosine would lose small angles
    sine = angle.sin()
    arc = (((1 - place) * angle).sin() * unit + (place * angle).sin() * other_unit) / sine.clamp_min(SMALLEST_SINE)
    has_arc = (sine > SMALLEST_SINE) & (length > tiny) & (other_length > tiny)
    return torch.where(has_arc, arc * torch.lerp(length, other_length, place), torch.lerp(one, other, place))


def between(one: Encoding, other: Encoding, place: float, *, keep: Collection[str] = ()) -> Encoding:
    """The latents at `place` (0 … 1) on the way from one song to another, and their deviations.

    Songs of different length are laid beside each other as a whole: what is between them has a length between theirs,
    and its segments lie between those at the same share of either song, so that beginnings stay beginnings and endings
    endings. At 0 and, where nothing is kept, at 1 the latents are exactly those of the songs.

    Args:
        one: at place 0.
        other: at place 1, by the same model.
        place: 0 … 1.
        keep: levels that stay those of `one`.
    """
    if place == 0 or (place == 1 and not keep):
        return other if place else one
    length = round((1 - place) * one.length + place * other.length)
    pair = [stretched(song, length) for song in (one, other)]
    begins = sorted({begin for song in pair for begin in song.begins})
    first, last = (_divided(song, begins) for song in pair)
    ways = {level.name: 0.0 if level.name in keep else place for level in one.levels}
    mean = {name: slerp(first.mean[name], last.mean[name], way) for name, way in ways.items()}
    deviation = {name: torch.lerp(first.deviation[name], last.deviation[name], way) for name, way in ways.items()}
    return Encoding(one.levels, mean, deviation, begins, length)


def stretched(song: Encoding, length: int) -> Encoding:
    """The same with so many positions: largest segments are repeated or left out evenly, the first and the last stay.

    Levels inside a segment keep the places of their latents there.
    """
    if length == song.length:
        return song
    segment = largest_segment(song.levels)
    beside = _evenly(-(-song.length // segment), -(-length // segment))
    number = [bisect_right(song.begins, at * segment) - 1 for at in beside.tolist()]
    changes = [place for place, now in enumerate(number) if place == 0 or now != number[place - 1]]
    picks = {level.name: _inside(level, beside, segment, song.length)[: level.count(length)] for level in song.levels}
    picks[GLOBAL] = torch.tensor([number[place] for place in changes])
    return _picked(song, picks, [place * segment for place in changes], length)


def _evenly(count: int, wanted: int) -> Tensor:
    """Which of `count` stand beside each of `wanted`: the first beside the first, the last beside the last."""
    steps = max(wanted - 1, 1)
    return (2 * torch.arange(wanted) * (count - 1) + steps) // (2 * steps)


def _inside(level: Level, segments: Tensor, segment: int, length: int) -> Tensor:
    """The latents of a level in these segments of a song; where its last one is not full, the last latent goes on."""
    share = segment // (level.tokens or segment)
    inside = (segments[:, None] * share + torch.arange(share)).flatten()
    return inside.clamp_max(level.count(length) - 1)


def _divided(song: Encoding, begins: Sequence[int]) -> Encoding:
    """The same with a global latent for each of these places, which those of the song are among."""
    pick = torch.tensor([bisect_right(song.begins, begin) - 1 for begin in begins])
    return _picked(song, {GLOBAL: pick}, begins, song.length)


def _picked(song: Encoding, picks: Mapping[str, Tensor], begins: Sequence[int], length: int) -> Encoding:
    """These latents of some levels, and all of the others."""
    mean, deviation = (
        {**column, **{name: column[name][:, pick.to(column[name].device)] for name, pick in picks.items()}}
        for column in (song.mean, song.deviation)
    )
    return Encoding(song.levels, mean, deviation, begins, length)
