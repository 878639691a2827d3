"""Which ids may follow: masks sampling, checks data. Batched numpy; the tables are in `aurl.tokens.rules`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.tokens.codec import Codec
from aurl.tokens.header import HEADERS
from aurl.tokens.rules import ILLEGAL, Kind, Rules, Stage
from aurl.tokens.vocabulary import (
    CHORD,
    EOS,
    MAX_PARTS,
    MAX_SHIFT_STEPS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    PART,
    TIME_SHIFT,
    VELOCITY,
    Fact,
    Group,
    Header,
    name_of,
)

PITCHES, MIDDLE_C = 128, 60
NONE = -1


@dataclass(slots=True)
class GrammarState:
    """What the ids so far leave behind, for a batch of B streams; `Grammar.advance` changes it in place.

    Args:
        stage: `(B,)` `Stage`.
        sounding: `(B, parts, 128)` bool.
        part: `(B,)` the running PART, −1 before the first.
        velocity: `(B,)` the running level, −1 before the first.
        declared: `(B,)` parts declared so far.
        pitch: `(B,)` of the last note event.
    """

    stage: NDArray[np.int64]
    sounding: NDArray[np.bool_]
    part: NDArray[np.int64]
    velocity: NDArray[np.int64]
    declared: NDArray[np.int64]
    pitch: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.stage)

    @property
    def sounds(self) -> NDArray[np.bool_]:
        """`(B,)`: does any note sound."""
        some: NDArray[np.bool_] = self.sounding.max(axis=(1, 2))
        return some

    def take(self, rows: ArrayLike) -> "GrammarState":
        """A copy of the rows that `rows` (positions or a mask) selects."""
        index = np.asarray(rows)
        return GrammarState(**{name: getattr(self, name)[index].copy() for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Violation:
    """An id that the grammar forbids: where, which (−1: the stream ends too early), and why."""

    position: int
    id: int
    reason: str


class Grammar:
    """The rules of the streams that a codec writes.

    A note begins only where it does not sound, ends only where it does; EOS only when all is silent and something was
    played; PART only as declared; PART and VELOCITY only where they change something and a note follows. Every state
    but the end allows at least one id.

    Args:
        vocabulary_size: ids known; ids of groups the codec does not use are never allowed.
        parts: streams have PART ids.
        header: facts that streams may begin with.
        has_sep: a SEP ends the header even where nothing is in it.
        chords: CHORDs may be told before the first note of a step.
        allow_zero_length: a note may end on the step on which it begins. Data have such notes; for sampling they are
            better left out.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        parts: bool = True,
        header: Sequence[Header | Fact] = HEADERS,
        has_sep: bool = False,
        chords: bool = False,
        allow_zero_length: bool = True,
    ) -> None:
        self.vocabulary_size = vocabulary_size
        self.parts = parts
        self.rules = Rules.of(
            vocabulary_size,
            parts=parts,
            header=header,
            has_sep=has_sep,
            chords=chords,
            allow_zero_length=allow_zero_length,
        )

    @classmethod
    def of(cls, codec: Codec, *, allow_zero_length: bool = True) -> "Grammar":
        """The grammar of `codec`'s streams."""
        return cls(
            vocabulary_size=codec.vocabulary_size,
            parts=codec.parts,
            header=(*codec.header, *codec.facts),
            has_sep=codec.has_controls,
            chords=codec.chords,
            allow_zero_length=allow_zero_length,
        )

    def start(self, batch: int) -> GrammarState:
        """`batch` streams before their BOS."""
        part = np.full(batch, NONE if self.parts else 0)
        return GrammarState(
            stage=np.full(batch, int(Stage.START)),
            sounding=np.zeros((batch, MAX_PARTS if self.parts else 1, PITCHES), np.bool_),
            part=part,
            velocity=np.full(batch, NONE),
            declared=np.zeros(batch, np.int64),
            pitch=np.full(batch, NONE),
        )

    def advance(self, state: GrammarState, ids: ArrayLike) -> None:
        """Take one id for each row, `(B,)`. An id that the row's stage forbids leaves the row as it is."""
        chosen = np.asarray(ids).astype(np.int64)
        kind, value = self.rules.kind[chosen], self.rules.value[chosen]
        after = self.rules.next_stage[state.stage, kind]
        legal = after != ILLEGAL
        declares = legal & (after == Stage.DECLARING)
        state.declared[declares] += 1
        switches = legal & (kind == Kind.PART) & ~declares
        state.part[switches] = value[switches]
        levels = legal & (kind == Kind.VELOCITY)
        state.velocity[levels] = value[levels]
        for event, sounds in ((Kind.NOTE_ON, True), (Kind.NOTE_OFF, False)):
            rows = np.flatnonzero(legal & (kind == event) & (state.part != NONE))
            state.sounding[rows, state.part[rows], value[rows]] = sounds
            state.pitch[rows] = value[rows]
        state.stage[legal] = after[legal]

    def mask(self, state: GrammarState, *, closing: ArrayLike = False) -> NDArray[np.bool_]:
        """`(B, V)`: ids that may follow, True where allowed.

        Rows where `closing` is true end soon: nothing new begins (but what a PART or VELOCITY has already announced),
        and what sounds is ended, after at most three ids for each sounding note.
        """
        allowed = self._by_notes(state, self.rules.allowed[state.stage])
        rows = np.flatnonzero(np.broadcast_to(closing, len(state)))
        if len(rows):
            allowed[rows] = self._ending(state.take(rows), allowed[rows])
        return allowed

    def closing(self, state: GrammarState, *, shift_steps: int = 1) -> list[NDArray[np.uint16]]:
        """The ids that end each row: what sounds ends after `shift_steps` (1–512), lowest part and pitch first, EOS.

        A row whose last id announces a note (PART, VELOCITY) plays one more; a row still in its header is completed.
        """
        if not 1 <= shift_steps <= MAX_SHIFT_STEPS:
            raise ValueError(f"shift_steps is {shift_steps}, not 1 to {MAX_SHIFT_STEPS}")
        state = state.take(np.arange(len(state)))
        rank = self._closing_rank(shift_steps)
        columns = []
        while (state.stage != Stage.ENDED).any():
            ids = np.where(self.mask(state, closing=True), rank, NONE).argmax(axis=1)
            columns.append(ids)
            self.advance(state, ids)
        table = np.array(columns, np.uint16).reshape(-1, len(state)).T
        return [row[row != PAD] for row in table]

    def check(self, ids: ArrayLike, *, complete: bool = True) -> list[Violation]:
        """What is wrong with one stream; nothing if the encoder could have written it. Slow: some 20 µs an id.

        With `complete`, a stream that does not reach its EOS is a violation too.
        """
        stream = np.asarray(ids).astype(np.int64).reshape(-1)
        state, violations = self.start(1), []
        for position, chosen in enumerate(stream.tolist()):
            if not (0 <= chosen < self.vocabulary_size and self.mask(state)[0, chosen]):
                stage = Stage(int(state.stage[0])).name
                violations.append(Violation(position, chosen, f"{name_of(chosen)} is not allowed here (after {stage})"))
                continue
            self.advance(state, [chosen])
        if complete and state.stage[0] != Stage.ENDED:
            held = int(state.sounding.sum())
            violations.append(Violation(len(stream), NONE, f"the stream has no EOS and {held} notes still sound"))
        return violations

    def _closing_rank(self, shift_steps: int) -> NDArray[np.int64]:
        """`(V,)`: which of several ids `closing` takes; of equal ones the lowest."""
        rank = np.zeros(self.vocabulary_size, np.int64)
        rank[NOTE_ON.start + MIDDLE_C] = 1
        rank[TIME_SHIFT.start + shift_steps - 1] = 1
        rank[PART.start : PART.stop] = 2
        rank[NOTE_OFF.start : NOTE_OFF.stop] = 3
        rank[[EOS, PAD]] = 4
        return rank

    def _by_notes(self, state: GrammarState, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """`allowed` less what the sounding notes and running states forbid."""
        here = state.sounding[np.arange(len(state)), state.part.clip(0)]
        has_part = (state.part != NONE)[:, None]
        just_struck = (state.stage == Stage.STRUCK)[:, None]
        ends = here & has_part & (~just_struck | (np.arange(PITCHES) == state.pitch[:, None]))
        _restrict(allowed, NOTE_ON, ~here & has_part)
        _restrict(allowed, NOTE_OFF, ends)
        new_level = np.arange(VELOCITY.size) != state.velocity[:, None]
        _restrict(allowed, VELOCITY, new_level & has_part & ~here.all(axis=1)[:, None])
        _restrict(allowed, CHORD, ~has_part | ~here.all(axis=1)[:, None])
        if self.parts:
            _restrict(allowed, PART, self._parts(state))
        allowed[:, EOS] &= ~state.sounds
        return allowed

    def _parts(self, state: GrammarState) -> NDArray[np.bool_]:
        """`(B, 32)`: in the header the next part; in the body another one, in which a note can begin or end."""
        number = np.arange(MAX_PARTS)
        declared = state.declared[:, None]
        may_end = np.isin(state.stage, (Stage.WAITED, Stage.WAITING, Stage.RELEASED))[:, None]
        usable = may_end | ~state.sounding.all(axis=2)
        in_body = (state.stage >= Stage.BODY)[:, None]
        another = (number < declared) & (number != state.part[:, None]) & usable
        allowed: NDArray[np.bool_] = np.where(in_body, another, number == declared)
        return allowed

    def _ending(self, state: GrammarState, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of `allowed`, what leads to the end; where nothing does, all but waiting longer."""
        ends: NDArray[np.bool_] = allowed & self.rules.towards_end[state.stage]
        if self.parts:
            _restrict(ends, PART, state.sounding.max(axis=2))
        _restrict(ends, TIME_SHIFT, state.sounds[:, None])
        nothing = ~ends.any(axis=1)
        ends[nothing] = (allowed & self.rules.lasting[state.stage])[nothing]
        return ends


def _restrict(allowed: NDArray[np.bool_], group: Group, where: NDArray[np.bool_]) -> None:
    allowed[:, group.start : group.stop] &= where
