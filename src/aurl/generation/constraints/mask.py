"""The grammar as something to add to logits, kept up to date id by id.

`aurl.tokens.grammar` answers for whole batches at a time in numpy; here each id changes the few numbers that it
affects. Plain Python per row costs 4 µs an id; the same rules as batched tensor operations took 60 µs a step, more
than a decoder layer.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from aurl.generation.constraints.kinds import Constraint
from aurl.generation.constraints.row import FORBIDDEN, NONE, PITCHES, Bias, Row
from aurl.generation.constraints.tally import Tally
from aurl.tokens.grammar import MIDDLE_C, Grammar, GrammarState
from aurl.tokens.rules import ILLEGAL, Kind, Stage
from aurl.tokens.vocabulary import (
    CHORD,
    EOS,
    MAX_SHIFT_STEPS,
    NOTE_OFF,
    NOTE_ON,
    PART,
    PROGRAM,
    TEMPO,
    TIME_SHIFT,
    VELOCITY,
)

logger = logging.getLogger(__name__)
END_MARGIN_STEPS = 32
"""A piece that must reach a given length may end by itself this close to it: a beat."""
LAST_SHIFT_STEPS = 8
"""Notes that were only just struck when a piece is cut off sound for a quarter of a beat."""


class GrammarMask:
    """Which ids may follow in each row, as numbers to add to logits.

    Args:
        grammar: whose ids are allowed; ids that only a grammar with empty notes would allow are still understood.
        batch: number of rows.
        constraints: what rows keep to beside it.
    """

    def __init__(self, grammar: Grammar, batch: int, constraints: Sequence[Constraint] = ()) -> None:
        rules = grammar.rules
        self._grammar, self._constraints = grammar, constraints
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
        self._said: set[str] = set()
        self._bias = np.empty((batch, grammar.vocabulary_size), np.float32)
        self._ahead = np.empty(grammar.vocabulary_size, np.float32)
        self._tensor = torch.from_numpy(self._bias)
        self._refresh_all()

    def bias(self, device: torch.device) -> Tensor:
        """(B, V): 0 where an id may follow, −inf where it may not; on the CPU a view that later calls change."""
        return self._tensor if device.type == "cpu" else self._tensor.to(device)

    def replay(self, ids: Sequence[int], *, step: int | None = None) -> None:
        """Take all of `ids` in every row; rows must not differ yet. What follows begins at `step`, if that is given."""
        for chosen in ids:
            self._take(self.rows[0], chosen)
        if step is not None:
            self.rows[0].step = step
        self.rows = [self.rows[0].copy() for _ in self.rows]
        self._refresh_all()

    def advance(self, row: int, chosen: int) -> None:
        """Take one id of one row."""
        self._take(self.rows[row], chosen)
        self._refresh(row)

    def end_after(self, row: int, steps: int | None, *, may_end: bool) -> None:
        """Let the row end at most `steps` (≥ 1) from now, and before that only if `may_end`."""
        state = self.rows[row]
        state.begin_step, state.tally = state.step, Tally()
        state.end_step = None if steps is None else state.step + steps
        state.may_end = may_end
        self._refresh(row)

    def forced(self, row: int, chosen: int) -> int:
        """The id that the constraints take where this one was drawn."""
        if not self._constraints:
            return chosen
        for constraint in self._constraints:
            chosen = constraint.force(self.rows[row], chosen)
        return chosen if self._leads_on(row, chosen) else self._other_shift(row, chosen)

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
        """Go on with these rows only, in this order; one that is named twice goes on as two."""
        self.rows = [self.rows[row].copy() if row in rows[:place] else self.rows[row] for place, row in enumerate(rows)]
        self._bias = self._bias[list(rows)]
        self._tensor = torch.from_numpy(self._bias)

    def closing(self, row: int) -> list[int]:
        """The ids that end the row now: what sounds is ended, EOS.

        Where a note has to be played for that, it is one that the constraints allow, the nearest to middle C.
        """
        state = self.rows[row]
        ids = self._closing(state)
        place = next((place for place, chosen in enumerate(ids) if chosen < NOTE_ON.stop), None)
        if place is None or not self._constraints:
            return ids
        state = state.copy()
        for chosen in ids[:place]:
            self._take(state, chosen)
        bias = np.empty_like(self._ahead)
        self._fill(state, bias, may_end=True)
        pitches = np.flatnonzero(bias[NOTE_ON.start : NOTE_ON.stop] > FORBIDDEN)
        pitch = int(min(pitches, key=lambda pitch: abs(pitch - MIDDLE_C), default=MIDDLE_C))
        self._take(state, NOTE_ON.start + pitch)
        return [*ids[:place], NOTE_ON.start + pitch, *self._closing(state)]

    def _closing(self, state: Row) -> list[int]:
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
        row.ids.append(chosen)
        if after == ILLEGAL:
            return
        if kind in _SHIFTS:
            steps = chosen - TIME_SHIFT.start + 1
            row.step += steps
            row.tally.wait(steps, len(row.begun))
        elif kind in _NOTES and row.part != NONE:
            sounds = kind == Kind.NOTE_ON
            lane = row.lanes[row.part]
            lane[value], lane[NOTE_OFF.start + value] = (FORBIDDEN, 0) if sounds else (0, FORBIDDEN)
            row.sounding[row.part] = row.sounding.get(row.part, 0) + (1 if sounds else -1)
            row.pitch = value
            if sounds:
                if self._constraints:
                    row.struck(value)
                row.begun[row.part * PITCHES + value] = len(row.ids), row.step
            else:
                row.begun.pop(row.part * PITCHES + value, None)
        elif kind == Kind.VELOCITY:
            row.velocity = value
        elif kind == Kind.PART:
            if after == Stage.DECLARING:
                row.declared += 1
            else:
                row.part = value
        else:
            _declare(row, kind, chosen)
        row.stage = after

    def _refresh_all(self) -> None:
        for row in range(len(self.rows)):
            self._refresh(row)

    def _refresh(self, row: int) -> None:
        """Bring the row's part of `bias` up to date: what the grammar allows, less what constraints forbid."""
        state, bias = self.rows[row], self._bias[row]
        self._fill(state, bias, may_end=state.may_end)
        if not self._constraints or _leaves(bias):
            return
        self._fill(state, bias, may_end=True)  # rather shorter than was asked than against the constraints
        if not _leaves(bias):
            self._allow(state, bias, may_end=state.may_end)
            self._say("the constraints left nothing to follow: for one id only the grammar counts")

    def _fill(self, state: Row, bias: Bias, *, may_end: bool) -> None:
        """What grammar and constraints allow."""
        self._allow(state, bias, may_end=may_end)
        if not self._constraints or state.stage == Stage.ENDED:
            return
        for constraint in self._constraints:
            constraint.restrict(state, bias)
        if state.stage < Stage.BODY:
            return
        self._drop_announcements(state, bias)

    def _drop_announcements(self, state: Row, bias: Bias) -> None:
        """Forbid what only leads to a note (VELOCITY, PART, CHORD) where none may begin."""
        begins = _leaves(bias[NOTE_ON.start : NOTE_ON.stop])
        if not begins:
            bias[VELOCITY.start : VELOCITY.stop] = FORBIDDEN
        for part in range(state.declared):
            if bias[PART.start + part] == FORBIDDEN:
                continue
            if self._may_begin(state, part):
                begins = True
            elif state.stage not in _RELEASING or not state.sounding.get(part):
                bias[PART.start + part] = FORBIDDEN
        if not begins:
            bias[CHORD.start : CHORD.stop] = FORBIDDEN

    def _may_begin(self, state: Row, part: int, *, later: int = 0) -> bool:
        """A note may begin in the part, so many steps from here."""
        here = state.part, state.stage, state.step
        state.part, state.stage, state.step = part, int(Stage.STRIKING_PART), state.step + later
        bias = self._ahead
        bias[:] = self._by_stage[state.stage]
        bias[: NOTE_OFF.stop] += state.lanes[part]
        for constraint in self._constraints:
            constraint.restrict(state, bias)
        state.part, state.stage, state.step = here
        return _leaves(bias[NOTE_ON.start : NOTE_ON.stop])

    def _leads_on(self, row: int, chosen: int) -> bool:
        """Where `chosen` waits in silence, a note may begin after it."""
        state = self.rows[row]
        if self._kind[chosen] != Kind.SHIFT or state.begun or self.overruns(row, chosen):
            return True
        parts = range(state.declared) if self._grammar.parts else (0,)
        return any(self._may_begin(state, part, later=chosen - TIME_SHIFT.start + 1) for part in parts)

    def _other_shift(self, row: int, chosen: int) -> int:
        """The TIME_SHIFT nearest to one that leads nowhere; that one where none leads on."""
        allowed = np.flatnonzero(self._bias[row, TIME_SHIFT.start : TIME_SHIFT.stop] > FORBIDDEN) + TIME_SHIFT.start
        nearest = allowed[np.argsort(np.abs(allowed - chosen), kind="stable")].tolist()
        return next((other for other in nearest if self._leads_on(row, other)), chosen)

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            logger.warning(message)

    def _allow(self, state: Row, bias: Bias, *, may_end: bool) -> None:
        """What the row's stage allows, less what depends on the notes."""
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
        may_end = may_end or state.left <= END_MARGIN_STEPS
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


def _leaves(bias: Bias) -> bool:
    """Whether any id may follow; numpy finds the place of the largest in a twentieth of the time of its value."""
    return bool(bias[bias.argmax()] > FORBIDDEN)


def _declare(row: Row, kind: int, chosen: int) -> None:
    """Take what is told about instruments and tempo, or that it is a chord."""
    if kind == Kind.CHORD:
        row.chord_step = row.step
    elif kind == Kind.PROGRAM:
        row.programs.append(chosen - PROGRAM.start)
    elif kind == Kind.TEMPO:
        row.tempo = chosen - TEMPO.start


_SHIFTS = (Kind.SHIFT, Kind.FULL_SHIFT)
_NOTES = (Kind.NOTE_ON, Kind.NOTE_OFF)
_RELEASING = (Stage.WAITED, Stage.WAITING, Stage.RELEASED, Stage.RELEASING_PART)
"""After these, notes begun on earlier steps may end."""
