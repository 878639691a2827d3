"""The grammar as something to add to logits, kept up to date id by id.

`aurl.tokens.grammar` answers for whole batches at a time in numpy; here each id changes the few numbers that it
affects. Plain Python per row costs 4 µs an id; the same rules as batched tensor operations took 60 µs a step, more
than a decoder layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aurl.tokens.grammar import Grammar, GrammarState
from aurl.tokens.rules import ILLEGAL, Kind, Stage
from aurl.tokens.vocabulary import (
    EOS,
    MAX_SHIFT_STEPS,
    NOTE_OFF,
    NOTE_ON,
    PART,
    TIME_SHIFT,
    VELOCITY,
)

PITCHES = 128
NONE = -1
FORBIDDEN = -np.inf
END_MARGIN_STEPS = 32
"""A piece that must reach a given length may end by itself this close to it: a beat."""
LAST_SHIFT_STEPS = 8
"""Notes that were only just struck when a piece is cut off sound for a quarter of a beat."""

Bias = NDArray[np.float32]


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
        length: ids so far.
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
    length: int = 0
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

    def copy(self) -> "Row":
        """An independent copy."""
        return replace(
            self,
            lanes=self.lanes.copy(),
            sounding=dict(self.sounding),
            begun=dict(self.begun),
        )


class GrammarMask:
    """Which ids may follow in each row, as numbers to add to logits.

    Args:
        grammar: whose ids are allowed; ids that only a grammar with empty notes would allow are still understood.
        batch: number of rows.
    """

    def __init__(self, grammar: Grammar, batch: int) -> None:
        rules = grammar.rules
        self._grammar = grammar
        self._by_stage = np.where(rules.allowed, 0, FORBIDDEN).astype(np.float32)
        self._kind, self._value, self._next_stage = rules.kind.tolist(), rules.value.tolist(), rules.next_stage.tolist()
        self._ends_what_began = self._next_stage[Stage.STRUCK][Kind.NOTE_OFF] != ILLEGAL
        self._next_stage[Stage.STRUCK][Kind.NOTE_OFF] = int(Stage.EMPTIED)
        lanes = np.zeros((grammar.start(1).sounding.shape[1], NOTE_OFF.stop), np.float32)
        lanes[:, NOTE_OFF.start :] = FORBIDDEN
        silent = Row(
            lanes=lanes,
            stage=int(Stage.START),
            part=NONE if grammar.parts else 0,
        )
        self.rows = [silent.copy() for _ in range(batch)]
        self._bias = np.empty((batch, grammar.vocabulary_size), np.float32)
        self._tensor = torch.from_numpy(self._bias)
        self._refresh_all()

    def bias(self, device: torch.device) -> Tensor:
        """(B, V): 0 where an id may follow, −inf where it may not; on the CPU a view that later calls change."""
        return self._tensor if device.type == "cpu" else self._tensor.to(device)

    def replay(self, ids: Sequence[int]) -> None:
        """Take all of `ids` in every row; rows must not differ yet."""
        for chosen in ids:
            self._take(self.rows[0], chosen)
        self.rows = [self.rows[0].copy() for _ in self.rows]
        self._refresh_all()

    def advance(self, row: int, chosen: int) -> None:
        """Take one id of one row."""
        self._take(self.rows[row], chosen)
        self._refresh(row)

    def end_after(self, row: int, steps: int | None, *, may_end: bool) -> None:
        """Let the row end at most `steps` (≥ 1) from now, and before that only if `may_end`."""
        state = self.rows[row]
        state.begin_step = state.step
        state.end_step = None if steps is None else state.step + steps
        state.may_end = may_end
        self._refresh(row)

    def overruns(self, row: int, chosen: int) -> bool:
        """`chosen` is a TIME_SHIFT that reaches the row's end or goes beyond it."""
        return self._kind[chosen] in _SHIFTS and chosen - TIME_SHIFT.start + 1 >= self.rows[row].left

    def release(self, row: int, before: int, longest: int | None = None) -> int | None:
        """The id that ends a note which began before that place in the piece or has lasted `longest` steps.

        That is a NOTE_OFF, or the PART that leads to one; None if there is no such note or none may end just now.
        """
        state = self.rows[row]
        if state.stage not in _RELEASING or not state.begun:
            return None
        last_step = NONE if longest is None else state.step - longest
        old = [lane for lane, (place, step) in state.begun.items() if place < before or step <= last_step]
        here = [lane % PITCHES for lane in old if lane // PITCHES == state.part]
        if here:
            return NOTE_OFF.start + min(here)
        may_switch = bool(old) and state.stage != Stage.RELEASING_PART
        return PART.start + min(old) // PITCHES if may_switch else None

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, in this order."""
        self.rows = [self.rows[row] for row in rows]
        self._bias = self._bias[list(rows)]
        self._tensor = torch.from_numpy(self._bias)

    def closing(self, row: int) -> list[int]:
        """The ids that end the row now: what sounds is ended, EOS."""
        state = self.rows[row]
        left = LAST_SHIFT_STEPS if state.end_step is None else state.left
        full = GrammarState(
            stage=np.array([state.stage]),
            sounding=(state.lanes[:, : NOTE_ON.stop] != 0)[None],
            part=np.array([state.part]),
            velocity=np.array([state.velocity]),
            declared=np.array([state.declared]),
            pitch=np.array([state.pitch]),
        )
        ids: list[int] = self._grammar.closing(full, shift_steps=min(max(left, 1), LAST_SHIFT_STEPS))[0].tolist()
        return ids

    def _take(self, row: Row, chosen: int) -> None:
        kind, value = self._kind[chosen], self._value[chosen]
        after = self._next_stage[row.stage][kind]
        row.length += 1
        if after == ILLEGAL:
            return
        if kind in _SHIFTS:
            row.step += chosen - TIME_SHIFT.start + 1
        elif kind in _NOTES and row.part != NONE:
            sounds = kind == Kind.NOTE_ON
            lane = row.lanes[row.part]
            lane[value], lane[NOTE_OFF.start + value] = (FORBIDDEN, 0) if sounds else (0, FORBIDDEN)
            row.sounding[row.part] = row.sounding.get(row.part, 0) + (1 if sounds else -1)
            row.pitch = value
            if sounds:
                row.begun[row.part * PITCHES + value] = row.length, row.step
            else:
                row.begun.pop(row.part * PITCHES + value, None)
        elif kind == Kind.VELOCITY:
            row.velocity = value
        elif kind == Kind.PART:
            if after == Stage.DECLARING:
                row.declared += 1
            else:
                row.part = value
        row.stage = after

    def _refresh_all(self) -> None:
        for row in range(len(self.rows)):
            self._refresh(row)

    def _refresh(self, row: int) -> None:
        """Bring the row's part of `bias` up to date: what its stage allows, less what depends on the notes."""
        state, bias = self.rows[row], self._bias[row]
        bias[:] = self._by_stage[state.stage]
        if self._grammar.parts:
            self._restrict_parts(state, bias)
        if state.stage < Stage.BODY:
            return
        if state.part == NONE:
            bias[: NOTE_OFF.stop] = FORBIDDEN
            bias[VELOCITY.start : VELOCITY.stop] = FORBIDDEN
        else:
            self._restrict_notes(state, bias)
        sounding = bool(state.begun)
        may_end = state.may_end or state.left <= END_MARGIN_STEPS
        # A TIME_SHIFT to the end or beyond ends the piece there, but not where there is nothing to end.
        ends = sounding or (may_end and state.pitch != NONE)
        if state.left <= MAX_SHIFT_STEPS and not ends:
            bias[TIME_SHIFT.start + max(state.left - 1, 0) : TIME_SHIFT.stop] = FORBIDDEN
        if sounding or not may_end:
            bias[EOS] = FORBIDDEN

    def _restrict_notes(self, state: Row, bias: Bias) -> None:
        bias[: NOTE_OFF.stop] += state.lanes[state.part]
        if state.stage == Stage.STRUCK and self._ends_what_began:
            bias[NOTE_OFF.start : NOTE_OFF.stop] = FORBIDDEN
            bias[NOTE_OFF.start + state.pitch] = 0
        if state.sounding.get(state.part) == PITCHES:
            bias[VELOCITY.start : VELOCITY.stop] = FORBIDDEN
        elif state.velocity != NONE:
            bias[VELOCITY.start + state.velocity] = FORBIDDEN

    def _restrict_parts(self, state: Row, bias: Bias) -> None:
        if state.stage < Stage.BODY:
            bias[PART.start : PART.start + state.declared] = FORBIDDEN
            bias[PART.start + state.declared + 1 : PART.stop] = FORBIDDEN
            return
        bias[PART.start + state.declared : PART.stop] = FORBIDDEN
        if state.part != NONE:
            bias[PART.start + state.part] = FORBIDDEN
        if state.stage not in _RELEASING:
            for part, count in state.sounding.items():
                if count == PITCHES:
                    bias[PART.start + part] = FORBIDDEN


_SHIFTS = (Kind.SHIFT, Kind.FULL_SHIFT)
_NOTES = (Kind.NOTE_ON, Kind.NOTE_OFF)
_RELEASING = (Stage.WAITED, Stage.WAITING, Stage.RELEASED, Stage.RELEASING_PART)
"""After these, notes begun on earlier steps may end."""
