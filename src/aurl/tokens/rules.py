"""The grammar of a stream as tables, which every implementation of it shares.

A stream is in one `Stage` at a time; `Rules.next_stage` says which `Kind` of id may follow and where it leads. What
also depends on which notes sound is said by `aurl.tokens.grammar`, in a handful of array operations.

The stages after the header keep the order that the encoder writes: within one step first NOTE_OFFs (WAITED, WAITING,
RELEASED), then a CHORD where one is told (CHORDED), then NOTE_ONs (STRUCK, EMPTIED); PART, then VELOCITY, then the note
that they are for; TIME_SHIFTs shorter than 512 steps never follow each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aurl.tokens.vocabulary import GROUPS, TIME_SHIFT, Fact, Header


class Kind(IntEnum):
    """Ids that the rules do not tell apart."""

    NEVER = 0
    NOTE_ON = auto()
    NOTE_OFF = auto()
    SHIFT = auto()
    FULL_SHIFT = auto()
    VELOCITY = auto()
    PART = auto()
    PROGRAM = auto()
    TEMPO = auto()
    TIME_SIGNATURE = auto()
    KEY = auto()
    DENSITY = auto()
    POLYPHONY = auto()
    REGISTER = auto()
    DYNAMICS = auto()
    CHORD = auto()
    BOS = auto()
    SEP = auto()
    EOS = auto()
    PAD = auto()


class Stage(IntEnum):
    """Where a stream stands, named after what came last."""

    START = 0
    HEADER = auto()
    TEMPO = auto()
    TIME_SIGNATURE = auto()
    KEY = auto()
    DENSITY = auto()
    POLYPHONY = auto()
    REGISTER = auto()
    DYNAMICS = auto()
    DECLARING = auto()
    DECLARED = auto()
    BODY = auto()
    WAITED = auto()
    WAITING = auto()
    RELEASED = auto()
    RELEASING_PART = auto()
    CHORDED = auto()
    STRUCK = auto()
    EMPTIED = auto()
    STRIKING_PART = auto()
    LEVEL = auto()
    ENDED = auto()


HEADER_STAGES = (
    Stage.HEADER,
    Stage.TEMPO,
    Stage.TIME_SIGNATURE,
    Stage.KEY,
    Stage.DENSITY,
    Stage.POLYPHONY,
    Stage.REGISTER,
    Stage.DYNAMICS,
)
"""In the order of the stream; each header fact leads to its own."""
ILLEGAL = -1

CHORD_STAGES = (Stage.BODY, Stage.WAITED, Stage.WAITING, Stage.RELEASED)
"""After these the first note of a step may begin, and before it a new chord be told."""

_NOTES = {Kind.NOTE_ON: Stage.STRUCK, Kind.VELOCITY: Stage.LEVEL}
_SHIFTS = {Kind.SHIFT: Stage.WAITED, Kind.FULL_SHIFT: Stage.WAITING}
_RELEASES = _NOTES | {Kind.NOTE_OFF: Stage.RELEASED, Kind.PART: Stage.RELEASING_PART}
_STRIKES = _NOTES | _SHIFTS | {Kind.PART: Stage.STRIKING_PART}
_END = {Kind.EOS: Stage.ENDED}
_BODY: dict[Stage, dict[Kind, Stage]] = {
    Stage.BODY: _STRIKES,
    Stage.WAITED: _RELEASES,
    Stage.WAITING: _RELEASES | _SHIFTS,
    Stage.RELEASED: _RELEASES | _SHIFTS | _END,
    Stage.RELEASING_PART: _NOTES | {Kind.NOTE_OFF: Stage.RELEASED},
    Stage.CHORDED: _NOTES | {Kind.PART: Stage.STRIKING_PART},
    Stage.STRUCK: _STRIKES | {Kind.NOTE_OFF: Stage.EMPTIED},
    Stage.EMPTIED: _STRIKES | _END,
    Stage.STRIKING_PART: _NOTES,
    Stage.LEVEL: {Kind.NOTE_ON: Stage.STRUCK},
    Stage.ENDED: {Kind.PAD: Stage.ENDED},
}
_TOWARDS_END = {
    **dict.fromkeys((*HEADER_STAGES, Stage.DECLARED), (Kind.SEP,)),
    Stage.WAITED: (Kind.NOTE_OFF, Kind.PART),
    Stage.WAITING: (Kind.NOTE_OFF, Kind.PART),
    Stage.RELEASED: (Kind.NOTE_OFF, Kind.PART, Kind.SHIFT, Kind.FULL_SHIFT, Kind.EOS),
    Stage.RELEASING_PART: (Kind.NOTE_OFF,),
    Stage.STRUCK: (Kind.SHIFT, Kind.FULL_SHIFT),
    Stage.EMPTIED: (Kind.SHIFT, Kind.FULL_SHIFT, Kind.EOS),
    Stage.ENDED: (Kind.PAD,),
}


@dataclass(frozen=True)
class Rules:
    """The tables of one codec's grammar.

    Args:
        kind: `(V,)` int8, `Kind` of each id.
        value: `(V,)` int16, pitch, velocity level or part of the ids that have one, else 0.
        next_stage: `(stages, kinds)` int8, `ILLEGAL` where the kind may not follow.
        allowed: `(stages, V)` bool, ids that may follow as far as the stage decides.
        towards_end: `(stages, V)` bool, those of them that bring a piece to its end.
        lasting: `(stages, V)` bool, those of `allowed` that are not TIME_SHIFTs.
    """

    kind: NDArray[np.int8]
    value: NDArray[np.int16]
    next_stage: NDArray[np.int8]
    allowed: NDArray[np.bool_]
    towards_end: NDArray[np.bool_]
    lasting: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        vocabulary_size: int,
        *,
        parts: bool,
        header: Sequence[Header | Fact],
        has_sep: bool = False,
        chords: bool = False,
        allow_zero_length: bool = True,
    ) -> Self:
        """The tables for ids below `vocabulary_size`.

        Without `allow_zero_length` a note cannot end on the step on which it began; with `chords` CHORDs may be told;
        with `has_sep` a SEP ends the header even where nothing is in it.
        """
        kind, value = _kinds(vocabulary_size)
        next_stage = np.full((len(Stage), len(Kind)), ILLEGAL, np.int8)
        for stage, follows in (_header(parts, header, has_sep) | _BODY).items():
            for following, leads_to in follows.items():
                next_stage[stage, following] = leads_to
        for stage in CHORD_STAGES if chords else ():
            next_stage[stage, Kind.CHORD] = Stage.CHORDED
        if not allow_zero_length:
            next_stage[Stage.STRUCK, Kind.NOTE_OFF] = ILLEGAL
        if not parts:
            next_stage[:, Kind.PART] = ILLEGAL
        allowed = next_stage[:, kind] != ILLEGAL
        towards_end = np.zeros_like(next_stage, np.bool_)
        for stage, kinds in _TOWARDS_END.items():
            towards_end[stage, list(kinds)] = True
        shift = (kind == Kind.SHIFT) | (kind == Kind.FULL_SHIFT)
        return cls(kind, value, next_stage, allowed, allowed & towards_end[:, kind], allowed & ~shift)


def _kinds(vocabulary_size: int) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
    kind, value = np.zeros(vocabulary_size, np.int8), np.zeros(vocabulary_size, np.int16)
    for name, group in GROUPS.items():
        member = Kind.__members__.get("SHIFT" if name == "time_shift" else name.upper(), Kind.NEVER)
        kind[group.start : group.stop] = member
        if name in {"note_on", "note_off", "velocity", "part"}:
            value[group.start : group.stop] = np.arange(group.size)[: max(vocabulary_size - group.start, 0)]
    kind[TIME_SHIFT.stop - 1] = Kind.FULL_SHIFT
    return kind, value


def _header(parts: bool, header: Sequence[Header | Fact], has_sep: bool) -> dict[Stage, dict[Kind, Stage]]:
    """Transitions up to the body: facts in their order, then each PART with its PROGRAM, then SEP."""
    if not (parts or header or has_sep):
        return {Stage.START: {Kind.BOS: Stage.BODY}}
    facts: dict[Stage, dict[Kind, Stage]] = {Stage.START: {Kind.BOS: Stage.HEADER}}
    ends = {Kind.PART: Stage.DECLARING} if parts else {Kind.SEP: Stage.BODY}
    for position, stage in enumerate(HEADER_STAGES):
        later = {Kind[s.name]: s for s in HEADER_STAGES[position + 1 :] if s.name.lower() in header}
        facts[stage] = later | ends
    return facts | {
        Stage.DECLARING: {Kind.PROGRAM: Stage.DECLARED},
        Stage.DECLARED: {Kind.PART: Stage.DECLARING, Kind.SEP: Stage.BODY},
    }
