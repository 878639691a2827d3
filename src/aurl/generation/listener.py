"""The ids of one growing piece → its notes with their times, one id at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from aurl.midi.clock import seconds_at
from aurl.midi.score import Score
from aurl.tokens.codec import Codec
from aurl.tokens.header import read_header
from aurl.tokens.maps import Maps
from aurl.tokens.timing import to_ticks
from aurl.tokens.velocity import DEFAULT_BIN, VELOCITY_OF_BIN
from aurl.tokens.vocabulary import (
    BOS,
    DRUM_PROGRAM,
    NOTE_OFF,
    NOTE_ON,
    PART,
    PROGRAM,
    SEP,
    TIME_SHIFT,
    VELOCITY,
)


class Heard(NamedTuple):
    """A note begins or ends.

    Args:
        kind: which of the two.
        seconds: from the beginning of the piece, as in the MIDI file that it becomes.
        beats: likewise, in quarter notes.
        pitch: 0 to 127.
        velocity: 1 to 127; 0 where a note ends.
        part: 0 to 31.
        program: General MIDI program of the part from 0, 128 for the drum kit.
    """

    kind: Literal["note_on", "note_off"]
    seconds: float
    beats: float
    pitch: int
    velocity: int
    part: int
    program: int


class Listener:
    """Hears one piece; what `Codec.decode` says of all its ids, as they come.

    Args:
        codec: of the ids.
        maps: of a prompt; without it the header's are taken.
        step: where what comes after the header begins.
        retime: done to the whole piece in the end: another tempo, and nothing else.

    Attributes:
        programs: part → program, of the parts declared so far.
        in_body: the header is complete.
        maps: tempi, meters and keys; not to be asked before.
        seconds: where the last note event was.
    """

    def __init__(
        self,
        codec: Codec,
        maps: Maps | None = None,
        *,
        step: int = 0,
        retime: Callable[[Score], Score] = lambda score: score,
    ) -> None:
        self.programs: dict[int, int] = {}
        self.in_body = False
        self.seconds = 0.0
        self._codec, self._given, self._retime = codec, maps, retime
        self._ends_header = SEP if codec.parts or codec.header or codec.has_controls else BOS
        self._header: list[int] = []
        self._step, self._part, self._velocity = step, 0, int(VELOCITY_OF_BIN[DEFAULT_BIN])

    def take(self, chosen: int) -> Heard | None:
        """One id; the note event that it is, if any."""
        if not self.in_body:
            self._read_header(chosen)
        elif chosen < NOTE_OFF.stop:
            return self._note(chosen)
        elif chosen < TIME_SHIFT.stop:
            self._step += chosen - TIME_SHIFT.start + 1
        elif chosen < VELOCITY.stop:
            self._velocity = int(VELOCITY_OF_BIN[chosen - VELOCITY.start])
        elif PART.start <= chosen < PART.stop:
            self._part = chosen - PART.start
        return None

    def _read_header(self, chosen: int) -> None:
        self._header.append(chosen)
        if PART.start <= chosen < PART.stop:
            self._part = chosen - PART.start
        elif PROGRAM.start <= chosen < PROGRAM.stop:
            self.programs[self._part] = chosen - PROGRAM.start
        if chosen == self._ends_header:
            self.in_body = True
            self._written = self._given or _told(self._header)
            self._clock = self._retime(Score(self._written.ticks_per_beat, tempos=self._written.tempos))
            self.maps = replace(self._written, tempos=self._clock.tempos)
            self._part = min(self.programs, default=0)

    def _note(self, chosen: int) -> Heard:
        maps, begins = self._written, chosen < NOTE_ON.stop
        tick = to_ticks(np.array([self._step]), maps.ticks_per_beat, maps.tempos, self._codec.time_base)
        self.seconds = float(seconds_at(self._clock, tick)[0])
        return Heard(
            kind="note_on" if begins else "note_off",
            seconds=self.seconds,
            beats=int(tick[0]) / maps.ticks_per_beat,
            pitch=chosen - (NOTE_ON if begins else NOTE_OFF).start,
            velocity=self._velocity if begins else 0,
            part=self._part,
            program=self.programs.get(self._part, DRUM_PROGRAM if maps.is_drum else 0),
        )


def _told(header: list[int]) -> Maps:
    facts = read_header(np.array(header))
    return Maps(tempos=facts.tempos, time_signatures=facts.time_signatures, key_signatures=facts.key_signatures)
