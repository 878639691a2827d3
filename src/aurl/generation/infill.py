"""A song with some bars left out, for a model that has learned to fill them in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import running
from aurl.augment.passage import NOT_YET, Passage
from aurl.controls.prompts import told_around
from aurl.controls.spans import Span
from aurl.errors import UsageError
from aurl.generation.context import header_length
from aurl.generation.prompt import load_song, song_score
from aurl.midi.clock import bar_ticks, ticks_at
from aurl.midi.score import Ints, Notes, Score, Track
from aurl.tokens.codec import Codec
from aurl.tokens.decode import StepNotes, read_notes
from aurl.tokens.parts import keep_parts
from aurl.tokens.positions import elapsed_steps
from aurl.tokens.timing import to_steps, to_ticks
from aurl.tokens.velocity import VELOCITY_OF_BIN
from aurl.tokens.vocabulary import PART, VELOCITY, Fact, Header

SIDES_SHARE = 0.5
"""How much of what a model sees at once both sides may take; the rest is for what is made, and the header."""
LEAST_TOKENS = 32
HIGHEST = 127
SHIFTS = tuple(sorted(range(-6, 7), key=abs))
"""By which a song may have been brought into another key, the shortest first."""
BARS = re.compile(r"(\d+):(\d+)")
SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?:(\d+(?:\.\d+)?)s")


@dataclass(frozen=True)
class Gap:
    """A song with some of it left out.

    Args:
        song: all of it, as it was.
        codec: of the model.
        span: what is left out.
        ids: what the model is shown: header, what is before it, how long it is, what comes after.
        passage: the same music with what is left out, as the model's ids would tell it in order.
        max_tokens: how many ids what is made may have, so that the model still sees all of that.
        raised: semitones by which the model is shown pitches higher than they are.
    """

    song: Score
    codec: Codec
    span: Span
    ids: list[int]
    passage: Passage
    max_tokens: int
    raised: int = 0

    @property
    def step(self) -> int:
        """Where new music begins."""
        return self.span.begin

    @property
    def steps(self) -> int:
        """How long it is to be."""
        return self.span.end - self.span.begin

    @property
    def ticks(self) -> tuple[int, int]:
        """Where new music begins and ends in the song."""
        begin, end = self._ticks([self.span.begin, self.span.end]).tolist()
        return begin, end

    def filled(self, ids: Sequence[int]) -> Score:
        """The song with the music that `ids`, which begin with the gap's own, tell in that place.

        Nothing else is touched, but notes that began before and still sound where one of the same pitch is struck anew
        end there.
        """
        made = read_notes([*self.ids[: header_length(self.ids)], *ids[len(self.ids) :]])
        begin, end = self.ticks
        homes = self._homes(made)
        tracks = [
            self._mended(number, track, made, homes, begin=begin, end=end)
            for number, track in enumerate(self.song.tracks)
        ]
        return replace(self.song, tracks=tuple(tracks))

    def _ticks(self, steps: Sequence[int] | Ints) -> Ints:
        song = self.song
        return to_ticks(np.asarray(steps, np.int64), song.ticks_per_beat, song.tempos, self.codec.time_base)

    def _homes(self, made: StepNotes) -> Ints:
        """Track of each new note: its part's, or, of a model that knows no parts, the one with the most notes."""
        tracks = self.song.tracks
        if self.codec.parts:
            kept = keep_parts(tracks)
            places = {id(track): number for number, track in enumerate(tracks)}
            # Of several tracks that share a part, which only happens beyond 32, the last one takes what is new.
            home = {part: places[id(track)] for track, part in zip(kept.tracks, kept.part, strict=True)}
            return np.array([home[part] for part in made.part.tolist()], np.int64)
        sounding = [number for number, track in enumerate(tracks) if len(track.notes)]
        pitched = [number for number in sounding if not tracks[number].is_drum] or sounding
        return np.full(len(made.part), max(pitched, key=lambda number: len(tracks[number].notes)), np.int64)

    def _mended(self, number: int, track: Track, made: StepNotes, homes: Ints, *, begin: int, end: int) -> Track:
        old, here = track.notes, homes == number
        is_left_alone = track.is_drum and not self.codec.parts and not here.any()
        if not len(old) or is_left_alone:
            return track
        onset, offset = (self._ticks(column[here] + self.span.begin) for column in (made.onset, made.offset))
        new = Notes(
            onset,
            np.maximum(np.minimum(offset, end) - onset, 1),
            np.clip(made.pitch[here] - (0 if track.is_drum else self.raised), 0, HIGHEST).astype(np.uint8),
            VELOCITY_OF_BIN[made.velocity[here]],
        )
        kept = _cut(old.take((old.onset < begin) | (old.onset >= end)), new, begin)
        columns = {name: np.concatenate([getattr(kept, name), getattr(new, name)]) for name in Notes._dtypes}
        return replace(track, notes=Notes(**columns).ordered())


def _cut(old: Notes, new: Notes, begin: int) -> Notes:
    """Notes from before the span, which end where a new one of the same pitch begins."""
    duration = old.duration.copy()
    for index in np.flatnonzero((old.onset < begin) & (old.offset > begin)).tolist():
        strikes = new.onset[new.pitch == old.pitch[index]]
        if len(strikes):
            duration[index] = min(int(duration[index]), max(int(strikes.min() - old.onset[index]), 1))
    return replace(old, duration=duration)


def open_gap(
    song: Path | Score,
    codec: Codec,
    where: str,
    *,
    context: int,
    preprocess: Sequence[Mapping[str, Any]] = (),
    asked: Mapping[Header | Fact, int] | None = None,
) -> Gap:
    """Leave out some of a song.

    Args:
        song: of which the rest stays.
        codec: of the model.
        where: "9:13" from the start of bar 9 to that of bar 13, or "8s:12.5s" in seconds.
        context: most ids that the model may see at once.
        preprocess: components, what was done to the pieces that the model learnt from; done to what it is shown, too.
        asked: what the header is to tell, see `Wishes.header`.

    Raises:
        UsageError: the model has not learned it, or there is no such place in the song.
        Rejected: the file cannot be used.
    """
    if not codec.infill:
        raise UsageError(
            "this model has not learned to fill in bars",
            hint="train one that has: aurl train --profile controls",
        )
    score = song_score(song)
    first, last = _ticks_of(score, where)
    begin, end = to_steps(np.array([first, last]), score.ticks_per_beat, score.tempos, codec.time_base).tolist()
    shown, encoded = load_song(score, codec, preprocess=preprocess)
    if codec.parts and keep_parts(shown.tracks).programs != keep_parts(score.tracks).programs:
        raise UsageError(
            "--infill cannot tell whose new notes are: this model learnt from songs whose instruments were changed",
            hint="give a song that has just those instruments, or a model of a data set that keeps them all",
        )
    span = Span(begin, max(end, begin + 1))
    passage = _passage(encoded.ids, span, int((context - header_length(encoded.ids.tolist())) * SIDES_SHARE))
    ids = told_around(passage, span, codec, asked)
    if context - len(ids) < LEAST_TOKENS:
        raise UsageError(
            f"--infill {where} leaves a model that sees {context} events at once no room", hint="fill in fewer bars"
        )
    return Gap(score, codec, span, ids, passage, context - len(ids), _raised(score, shown))


def _raised(song: Score, shown: Score) -> int:
    """Semitones, −6 to 6, by which preprocessing has moved a song: where most of its pitches are found again."""
    before, after = (
        np.bincount(
            [n for track in one.tracks if not track.is_drum for n in track.notes.pitch.tolist()] or [0],
            minlength=HIGHEST + 1,
        )
        for one in (song, shown)
    )
    return max(SHIFTS, key=lambda by: int(np.minimum(np.roll(before, by), after).sum()))


def _ticks_of(score: Score, where: str) -> tuple[int, int]:
    """First tick of a span and the first after it.

    Raises:
        UsageError: it cannot be read, or is not in the song.
    """
    end = score.end_tick
    if bars := BARS.fullmatch(where.strip()):
        edges = bar_ticks(score, end)
        first, last = (int(number) - 1 for number in bars.groups())
        if not 0 <= first < last or first >= len(edges):
            raise UsageError(
                f"--infill {where}: the song has bars 1 to {len(edges)}", hint="9:13 are bars 9, 10, 11 and 12"
            )
        return int(edges[first]), int(edges[last]) if last < len(edges) else end
    if seconds := SECONDS.fullmatch(where.strip()):
        begin, stop = ticks_at(score, [float(number) for number in seconds.groups()]).tolist()
        if not begin < min(stop, end):
            raise UsageError(f"--infill {where} is not in the song", hint="give the start and the end: 8s:12.5s")
        return begin, min(stop, end)
    raise UsageError(f"--infill {where} is no place in a song", hint="give bars, as 9:13, or seconds, as 8s:12.5s")


def _passage(ids: NDArray[np.uint16], span: Span, tokens: int) -> Passage:
    """About so many ids around a span, half of them before it where there are so many, and the header."""
    header = header_length(ids.tolist())
    body = ids[header:]
    step = elapsed_steps(body)
    left, right = int(step.searchsorted(span.begin)), int(step.searchsorted(span.end))
    before = min(left, max(tokens // 2, tokens - (len(body) - right)))
    begin, stop = left - before, right + tokens - before
    part, velocity = (
        int(running(body[:begin], group, NOT_YET)[-1]) if begin else NOT_YET for group in (PART, VELOCITY)
    )
    start = int(step[begin - 1]) if begin else 0
    return Passage(np.concatenate([ids[:header], body[begin:stop]]), header, 1, start, part, velocity)
