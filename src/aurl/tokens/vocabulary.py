"""The one table that says which id means what.

The 774 event ids are never renumbered. Control ids follow in groups whose order is fixed, so that a model trained
without the later groups simply has a smaller vocabulary. Any change to `GROUPS` raises `LAYOUT_VERSION`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from aurl.studies.pitch_classes import CHORDS, KEYS

LAYOUT_VERSION = 1

MAX_SHIFT_STEPS = 512
STEPS_PER_BEAT = 32
STEP_SECONDS = 1 / 64
"""15.625 ms: a 32nd of a beat at 120 BPM."""
VELOCITY_BINS = 6
DRUM_PROGRAM = 128
"""PROGRAM value that means the drum kit."""
MAX_PARTS = 32

TEMPO_BINS = 32
MIN_TEMPO_BPM, MAX_TEMPO_BPM = 30.0, 300.0
TIME_SIGNATURES = tuple((numerator, denominator) for denominator in (1, 2, 4, 8, 16) for numerator in range(1, 17))
ATTRIBUTES = ("density", "polyphony", "register", "dynamics")
ATTRIBUTE_BINS = 8


@dataclass(frozen=True, slots=True)
class Group:
    """A run of consecutive ids with one meaning: `start + value` for `value` in `range(size)`."""

    name: str
    start: int
    size: int

    @property
    def stop(self) -> int:
        """First id after the group."""
        return self.start + self.size


_SIZES = (
    ("note_on", 128),
    ("note_off", 128),
    ("time_shift", MAX_SHIFT_STEPS),
    ("velocity", VELOCITY_BINS),
    ("pad", 1),
    ("bos", 1),
    ("eos", 1),
    ("mask", 1),
    ("sep", 1),
    ("part", MAX_PARTS),
    ("program", DRUM_PROGRAM + 1),
    ("tempo", TEMPO_BINS),
    ("time_signature", len(TIME_SIGNATURES)),
    ("key", len(KEYS)),
    ("chord", CHORDS),
    *((name, ATTRIBUTE_BINS) for name in ATTRIBUTES),
)


def _layout() -> dict[str, Group]:
    groups, start = {}, 0
    for name, size in _SIZES:
        groups[name] = Group(name, start, size)
        start += size
    return groups


GROUPS = _layout()
"""Group name → ids. TIME_SHIFT value v means v + 1 steps; KEY and CHORD values are those of `studies.pitch_classes`."""
VOCABULARY_SIZE = max(group.stop for group in GROUPS.values())

NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY = (GROUPS[name] for name in ("note_on", "note_off", "time_shift", "velocity"))
PART, PROGRAM, TEMPO = GROUPS["part"], GROUPS["program"], GROUPS["tempo"]
TIME_SIGNATURE, KEY, CHORD = GROUPS["time_signature"], GROUPS["key"], GROUPS["chord"]
PAD, BOS, EOS, MASK, SEP = (GROUPS[name].start for name in ("pad", "bos", "eos", "mask", "sep"))
EVENT_COUNT = VELOCITY.stop

TimeBase = Literal["seconds", "beats"]
TIME_BASES: tuple[TimeBase, ...] = get_args(TimeBase)
Header = Literal["tempo", "time_signature", "key"]
Fact = Literal["key", "density", "polyphony", "register", "dynamics"]
FACTS: tuple[Fact, ...] = get_args(Fact)
"""What a header can tell of music that is measured, in the order in which it stands there."""


def name_of(token: int) -> str:
    """What an id means, for people: "NOTE_ON 60", "TIME_SHIFT 32" (steps), "EOS"."""
    for name, group in GROUPS.items():
        if group.start <= token < group.stop:
            value = token - group.start + (name == "time_shift")
            return name.upper() if group.size == 1 else f"{name.upper()} {value}"
    return f"no id ({token})"
