"""Kinds of ids that filters tell apart."""

from typing import Literal, get_args

from aurl.tokens.vocabulary import NOTE_OFF, NOTE_ON, TIME_SHIFT, VELOCITY

IdKind = Literal["note_on", "note_off", "time_shift", "velocity", "control"]
"""Which pitch begins, which ends, how long one waits, how loud it is; `control` is all the rest, the end among it."""
SLICES: dict[IdKind, slice] = {
    "note_on": slice(NOTE_ON.start, NOTE_ON.stop),
    "note_off": slice(NOTE_OFF.start, NOTE_OFF.stop),
    "time_shift": slice(TIME_SHIFT.start, TIME_SHIFT.stop),
    "velocity": slice(VELOCITY.start, VELOCITY.stop),
    "control": slice(VELOCITY.stop, None),
}
ID_KINDS: tuple[IdKind, ...] = get_args(IdKind)


def kind_of(token: int) -> IdKind:
    """The kind of an id."""
    return next(kind for kind in ID_KINDS if SLICES[kind].stop is None or token < SLICES[kind].stop)
