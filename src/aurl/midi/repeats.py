"""In which order the bars of a written piece are played: repeats, endings, da capo, dal segno, fine and coda."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_PASSES = 32
"""How often a section is played at most, whatever the file asks for."""


@dataclass(slots=True)
class Signs:
    """What one bar says about the way on.

    Args:
        opens: a repeated section begins with it.
        closes: how often the section that it ends is played; 0: it ends none.
        endings: the passes in which it is played; empty: in all.
        bracket: number of the ending bracket that it stands under; −1: under none.
        segno: a dal segno leads here.
        coda: the first such bar is the last one before the leap to the coda, the second is where that begins.
        fine: the piece ends with it, once a da capo or dal segno was followed.
        back: where the player goes back to after it.
    """

    opens: bool = False
    closes: int = 0
    endings: frozenset[int] = frozenset()
    bracket: int = -1
    segno: bool = False
    coda: bool = False
    fine: bool = False
    back: Literal["", "capo", "segno"] = ""


def playing_order(bars: Sequence[Signs]) -> list[int]:
    """Index of each bar that is played, in order; at most `MAX_PASSES` times as many as there are, and once more.

    Repeats are not taken again after a da capo or dal segno, and of endings the last is played then: the custom where
    nothing else is said.
    """
    order: list[int] = []
    last = _last_endings(bars)
    codas = [index for index, bar in enumerate(bars) if bar.coda][:2]
    at, first, turn, returned = 0, 0, 1, False
    while at < len(bars):
        bar = bars[at]
        if bar.opens and at > first:
            first, turn = at, 1
        if bar.endings and not _is_played(bar, last[at], 0 if returned else turn):
            at += 1
            continue
        order.append(at)
        if returned and bar.fine:
            break
        if returned and len(codas) == 2 and at == codas[0]:
            at, codas = codas[1], []
        elif not returned and turn < _passes(bar, last[at]):
            at, turn = first, turn + 1
        elif not returned and bar.back:
            at, returned = _origin(bars, bar.back), True
        else:
            at += 1
            if bar.closes or (bar.endings and not (at < len(bars) and bars[at].endings)):
                first, turn = at, 1
    return order


def _is_played(bar: Signs, is_last: bool, turn: int) -> bool:
    """Whether a bar under an ending is played in pass `turn` (0: after the way back)."""
    return turn in bar.endings or (not turn and is_last and max(bar.endings) > 1)


def _passes(bar: Signs, is_last: bool) -> int:
    """How often the section that the bar closes is played: endings say it where there are any."""
    if not bar.closes:
        return 0
    told = max(max(bar.endings) + (not is_last), 2) if bar.endings else bar.closes
    return min(told, MAX_PASSES)


def _last_endings(bars: Sequence[Signs]) -> list[bool]:
    """For each bar: no other ending follows right after the one that it stands under."""
    last = [True] * len(bars)
    for index in range(len(bars) - 2, -1, -1):
        following = bars[index + 1]
        same = following.bracket == bars[index].bracket
        last[index] = last[index + 1] if same else not following.endings
    return last


def _origin(bars: Sequence[Signs], back: str) -> int:
    """Where a da capo or dal segno leads; without a sign to the beginning."""
    return next((index for index, bar in enumerate(bars) if bar.segno), 0) if back == "segno" else 0
