"""What the ids of one growing piece leave behind."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from aurl.generation.constraints.tally import Tally
from aurl.tokens.vocabulary import DRUM_PROGRAM, MAX_SHIFT_STEPS

PITCHES = 128
NONE = -1
FORBIDDEN = -np.inf
Bias = NDArray[np.float32]
"""(V,): 0 where an id may follow, `FORBIDDEN` where it may not; what is added to the logits."""


@dataclass(slots=True)
class Row:
    """What the ids of one piece leave behind.

    Args:
        lanes: (parts, 256): for NOTE_ONs `FORBIDDEN` where a note sounds, for NOTE_OFFs where none does.
        stage: see `aurl.tokens.rules`.
        part: running PART, −1 before the first.
        velocity: running level, −1 before the first.
        declared: parts declared so far.
        pitch: of the last note event.
        sounding: how many notes sound in each part.
        begun: lane (part × 128 + pitch) of each note that sounds → how many ids stood before its NOTE_ON, and its step.
        ids: all so far, those of the prompt among them.
        programs: of each part declared so far, 128 for drums.
        tempo: TEMPO value of the header, −1 where it tells none.
        onsets: step of each note that is no drum's; this and the next are kept only where constraints ask.
        tops: part → step and highest pitch of all that begins there, step by step; without drums.
        tally: what has been played since `begin_step`.
        chord_step: when a CHORD was told last, −1 before the first.
        step: time so far.
        begin_step: from where the length is counted.
        end_step: where the piece has to end, None for anywhere.
        may_end: EOS is allowed before `end_step`.
    """

    lanes: Bias
    stage: int
    part: int
    velocity: int = NONE
    declared: int = 0
    pitch: int = NONE
    sounding: dict[int, int] = field(default_factory=dict)
    begun: dict[int, tuple[int, int]] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    programs: list[int] = field(default_factory=list)
    tempo: int = NONE
    onsets: list[int] = field(default_factory=list)
    tops: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    chord_step: int = NONE
    step: int = 0
    begin_step: int = 0
    end_step: int | None = None
    may_end: bool = True

    @property
    def left(self) -> int:
        """Steps until the piece has to end; very many where it need not."""
        return MAX_SHIFT_STEPS + 1 if self.end_step is None else self.end_step - self.step

    @property
    def share(self) -> float:
        """How much of the allowed length is made, 0 to 1; 0 where any length is allowed."""
        return 0.0 if self.end_step is None else (self.step - self.begin_step) / (self.end_step - self.begin_step)

    def is_drum(self, part: int) -> bool:
        """The part is declared as drums."""
        return 0 <= part < len(self.programs) and self.programs[part] == DRUM_PROGRAM

    def struck(self, pitch: int) -> None:
        """Remember that a note begins here, in the running part."""
        self.tally.strike(pitch, self.velocity, is_drum=self.is_drum(self.part))
        if self.is_drum(self.part):
            return
        self.onsets.append(self.step)
        tops = self.tops.setdefault(self.part, [])
        if tops and tops[-1][0] == self.step:
            tops[-1] = self.step, max(pitch, tops[-1][1])
        else:
            tops.append((self.step, pitch))

    def copy(self) -> "Row":
        """An independent copy."""
        return replace(
            self,
            lanes=self.lanes.copy(),
            sounding=dict(self.sounding),
            begun=dict(self.begun),
            ids=list(self.ids),
            programs=list(self.programs),
            onsets=list(self.onsets),
            tally=self.tally.copy(),
            tops={part: list(tops) for part, tops in self.tops.items()},
        )
