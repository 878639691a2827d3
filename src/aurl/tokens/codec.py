"""Score ↔ ids: the one class that the rest of aurl knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.errors import DamagedError
from aurl.midi.score import Notes, Score, Track
from aurl.tokens.decode import PITCHES, StepNotes, clean, read_notes
from aurl.tokens.encode import GridNotes, body_ids, lanes, without_overlaps
from aurl.tokens.header import HEADERS, header_ids, read_header
from aurl.tokens.maps import Maps
from aurl.tokens.parts import Parts, keep_parts, merge_parts
from aurl.tokens.timing import to_steps, to_ticks
from aurl.tokens.velocity import BIN_OF_VELOCITY, VELOCITY_OF_BIN
from aurl.tokens.vocabulary import (
    BOS,
    DRUM_PROGRAM,
    EOS,
    FACTS,
    GROUPS,
    LAYOUT_VERSION,
    PART,
    PROGRAM,
    SEP,
    TIME_BASES,
    Fact,
    Header,
    TimeBase,
)

N = TypeVar("N", np.int64, np.uint8)
CODEC_VERSION = 1
"""Raised whenever the same score would get other ids."""


@dataclass(frozen=True)
class Encoded:
    """A piece as ids.

    Args:
        ids: BOS … EOS.
        maps: what `Codec.decode` needs to give the piece its own ticks back.
        repairs: repair name → count, only what happened.
    """

    ids: NDArray[np.uint16]
    maps: Maps
    repairs: dict[str, int]


class Codec:
    """Scores to ids and back, exact inverses on the step grid.

    A stream is `BOS [TEMPO] [TIME_SIGNATURE] [KEY] (PART PROGRAM)* SEP body EOS`. SEP ends the header and is there
    whenever the codec has parts or any header, even if nothing stands before it. In the body PART and VELOCITY are
    running states: given before the first note, then only where they change.

    Without `parts` all pitched tracks become one. Same-pitch overlaps are cut, unisons become one note, and drums are
    left out unless they are alone (they are no pitches); all of it counted in `Encoded.repairs`.

    Args:
        time_base: "beats": a step is 1/32 of a quarter note; "seconds": 1/64 s.
        parts: keep tracks apart, at most 32.
        header: facts told at the start of each piece.
        facts: what windows of a data set are told besides, in front of the PARTs; `aurl.controls` adds it to streams.
        chords: CHORDs are added to their bodies in the same way.
        infill: streams may leave out a span, and tell it at the end.
    """

    def __init__(
        self,
        *,
        time_base: TimeBase = "beats",
        parts: bool = True,
        header: Sequence[Header] = HEADERS,
        facts: Sequence[Fact] = (),
        chords: bool = False,
        infill: bool = False,
    ) -> None:
        self.time_base: TimeBase = _known(time_base, TIME_BASES)
        self.parts = parts
        unknown = set(header) - set(HEADERS)
        if unknown:
            raise ValueError(f"unknown header {sorted(unknown)}; known: {', '.join(HEADERS)}")
        self.header: tuple[Header, ...] = tuple(name for name in HEADERS if name in header)
        self.facts: tuple[Fact, ...] = tuple(name for name in FACTS if name in facts)
        self.chords, self.infill = chords, infill

    def with_controls(self, facts: Sequence[Fact], *, chords: bool, infill: bool) -> "Codec":
        """The same codec for streams that tell more."""
        told: dict[str, Any] = {"facts": facts, "chords": chords, "infill": infill}
        return Codec(time_base=self.time_base, parts=self.parts, header=self.header, **told)

    @property
    def has_controls(self) -> bool:
        """Streams tell more than `encode` does; then there is always a SEP behind the header."""
        return bool(self.facts) or self.chords or self.infill

    @property
    def vocabulary_size(self) -> int:
        """Ids from 0 that hold every group this codec uses: 779 with neither parts nor header."""
        used = ["sep", *self.header, *self.facts, *["program"] * self.parts, *["chord"] * self.chords]
        return max(GROUPS[name].stop for name in used)

    def encode(self, score: Score) -> Encoded:
        """The ids of `score`.

        Raises:
            Rejected: the piece is longer than 2^24 steps.
        """
        plan = keep_parts(score.tracks) if self.parts else merge_parts(score.tracks)
        notes, onset = self._on_grid(score, plan)
        notes, repairs = without_overlaps(notes, merge_unisons=not self.parts)
        ids = np.concatenate([self._head(score, plan, onset), body_ids(notes, parts=self.parts), _TAIL])
        is_drum = not self.parts and plan.programs == (DRUM_PROGRAM,) and bool(plan.tracks)
        return Encoded(ids, Maps.of(score, is_drum=is_drum), plan.repairs | repairs)

    def decode(self, ids: ArrayLike, maps: Maps | None = None) -> Score:
        """The score that `ids` spell; never fails, whatever the ids.

        Without `maps`: 480 ticks per beat, and tempo, meter and key of the header where it tells them. Velocities are
        the middles of their levels; a note that begins and ends on one step, or one tick, lasts one tick.
        """
        played = read_notes(ids)
        if maps is None:
            facts = read_header(clean(ids))
            maps = Maps(tempos=facts.tempos, time_signatures=facts.time_signatures, key_signatures=facts.key_signatures)
        return Score(
            ticks_per_beat=maps.ticks_per_beat,
            tracks=self._tracks(played, maps),
            tempos=maps.tempos,
            time_signatures=maps.time_signatures,
            key_signatures=maps.key_signatures,
        )

    def signature(self) -> dict[str, Any]:
        """Everything that decides which ids `encode` gives a score, as JSON."""
        return {
            "layout": LAYOUT_VERSION,
            "codec": CODEC_VERSION,
            "time_base": self.time_base,
            "parts": self.parts,
            "header": list(self.header),
        }

    @classmethod
    def from_signature(cls, signature: Mapping[str, Any]) -> Self:
        """The codec that wrote `signature`.

        Raises:
            DamagedError: it is not a signature, or one of another version of the layout.
        """
        try:
            codec = cls(time_base=signature["time_base"], parts=signature["parts"], header=signature["header"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"not a codec signature: {error}", hint="prepare the data set again") from error
        if dict(signature) != codec.signature():
            raise DamagedError(
                f"made by layout {signature.get('layout')}, codec {signature.get('codec')}; "
                f"this is layout {LAYOUT_VERSION}, codec {CODEC_VERSION}",
                hint="prepare the data set again",
            )
        return codec

    def _on_grid(self, score: Score, plan: Parts) -> tuple[GridNotes, int]:
        """Notes of all parts on the step grid, and the tick of the first onset."""
        if not plan.tracks:
            none = np.empty(0, np.int64)
            return GridNotes(none, none, none, none), 0
        columns = [track.notes for track in plan.tracks]
        onset = _joined([notes.onset for notes in columns])
        offset = onset + _joined([notes.duration for notes in columns])
        ticks = np.concatenate([onset, offset])
        steps = to_steps(ticks, score.ticks_per_beat, score.tempos, self.time_base)
        pitch = _joined([notes.pitch for notes in columns]).astype(np.int64)
        lane = pitch
        if len(columns) > 1:
            lane = lanes(np.repeat(np.array(plan.part), [len(notes) for notes in columns]), pitch)
        velocity = BIN_OF_VELOCITY.take(_joined([notes.velocity for notes in columns]))
        begin = steps[: len(onset)]
        return GridNotes(begin, steps[len(onset) :] - begin, lane, velocity), int(onset.min())

    def _head(self, score: Score, plan: Parts, onset: int) -> NDArray[np.uint16]:
        ids = [BOS, *header_ids(score, self.header, onset)]
        if self.parts:
            for part, program in enumerate(plan.programs):
                ids += [PART.start + part, PROGRAM.start + program]
        if self.parts or self.header:
            ids.append(SEP)
        return np.array(ids, np.uint16)

    def _tracks(self, played: StepNotes, maps: Maps) -> tuple[Track, ...]:
        onset = to_ticks(played.onset, maps.ticks_per_beat, maps.tempos, self.time_base)
        offset = to_ticks(played.offset, maps.ticks_per_beat, maps.tempos, self.time_base)
        duration = np.maximum(offset - onset, 1)
        order = np.lexsort((duration, played.pitch, onset, played.part))
        notes = Notes(
            onset[order], duration[order], played.pitch[order].astype(np.uint8), VELOCITY_OF_BIN[played.velocity[order]]
        )
        numbers = sorted({*played.programs, *np.unique(played.part).tolist()})
        edges = np.searchsorted(played.part[order], [*numbers, PITCHES])
        undeclared = DRUM_PROGRAM if maps.is_drum else 0
        return tuple(
            _track(notes.take(slice(*edges[index : index + 2])), played.programs.get(number, undeclared))
            for index, number in enumerate(numbers)
        )


def _joined(columns: Sequence[NDArray[N]]) -> NDArray[N]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _track(notes: Notes, program: int) -> Track:
    is_drum = program == DRUM_PROGRAM
    return Track(notes=notes, program=0 if is_drum else program, is_drum=is_drum)


def _known(time_base: TimeBase, known: Sequence[TimeBase]) -> TimeBase:
    if time_base not in known:
        raise ValueError(f"unknown time base {time_base!r}; known: {', '.join(known)}")
    return time_base


_TAIL = np.array([EOS], np.uint16)
