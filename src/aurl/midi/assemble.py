"""Events → Score: notes paired, one track for each (track chunk, channel, program)."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aurl.midi.events import Bytes, Events, Meta, Program
from aurl.midi.maps import key_signatures, tempos, texts, time_signatures, track_names
from aurl.midi.pair import next_of_key, pair_notes
from aurl.midi.score import DRUM_CHANNEL, Controls, Ints, Notes, Score, Text, Track
from aurl.midi.skim import LYRIC, MARKER

STUCK_NOTE_BEATS = 4
"""How long a note lasts at most whose end the file does not tell."""
_NOTES_OFF_CONTROLS = (120, 123, 124, 125, 126, 127)
_NOTE_ON, _CONTROL = 0x9, 0xB
_NO_CONTROLS = Controls()


@dataclass(frozen=True, slots=True)
class _Struck:
    """Notes as columns, and the (chunk, channel, program) of each as one number."""

    onset: Ints
    duration: Ints
    pitch: Bytes
    velocity: Bytes
    part: Ints


def assemble(events: Events, ticks_per_beat: int) -> tuple[Score, Counter[str]]:
    """The score that the events say, and what had to be repaired for it; tracks without notes are left out."""
    repairs: Counter[str] = Counter()
    struck = _struck(events, ticks_per_beat, repairs)
    order = np.argsort(
        struck.part << 38 | struck.onset << 7 | struck.pitch
    )  # 23 + 31 + 7 bits; doubles are merged later
    part = struck.part[order]
    starts = _starts(part)
    onset, duration, pitch, velocity = (
        column[order] for column in (struck.onset, struck.duration, struck.pitch, struck.velocity)
    )
    for column in (onset, duration, pitch, velocity):
        column.setflags(write=False)
    parts = part[starts].tolist()
    controls, lyrics = _controls(events, parts), _lyrics(events, parts)
    names = track_names(events.metas)
    spans = [slice(a, b) for a, b in pairwise([*starts.tolist(), len(part)])]
    score = Score(
        ticks_per_beat,
        tuple(
            Track(
                notes=Notes.trusted(onset[span], duration[span], pitch[span], velocity[span]),
                program=0 if _is_drum(p) else p % 128,
                is_drum=_is_drum(p),
                name=names.get(p >> 11, ""),
                controls=controls[i],
                lyrics=lyrics[i],
            )
            for i, (p, span) in enumerate(zip(parts, spans, strict=True))
        ),
        tempos(events.metas, repairs),
        time_signatures(events.metas, repairs),
        key_signatures(events.metas, repairs),
        texts(events.metas, MARKER),
    )
    return score, repairs


def _starts(values: Ints) -> NDArray[np.intp]:
    """Where values begin that are not the same as the one before."""
    fresh = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=fresh[1:])
    return fresh.nonzero()[0]


def _is_drum(part: int) -> bool:
    return part >> 7 & 15 == DRUM_CHANNEL


def _struck(events: Events, ticks_per_beat: int, repairs: Counter[str]) -> _Struck:
    kind = events.status >> 4
    at = np.flatnonzero(kind <= _NOTE_ON)
    is_on = (kind[at] == _NOTE_ON) & (events.second[at] > 0)
    key = _channel(events, at) << 7 | events.first[at]
    pairs = pair_notes(key, events.tick[at], is_on)
    on, end = at[pairs.on], events.tick[at[pairs.off]]
    endless = pairs.off < 0
    if endless.any():
        end[endless] = _ends_of_endless(events, on[endless], ticks_per_beat)
    if pairs.missing:
        repairs["stuck_notes"] += pairs.missing
    part = _channel(events, on) << 7 | _programs(events.programs, _channel(events, on), on)
    return _Struck(events.tick[on], end - events.tick[on], events.first[on], events.second[on], part)


def _channel(events: Events, at: Ints) -> Ints:
    """(chunk, channel) as one number."""
    return events.chunk[at] << 4 | (events.status[at] & 0x0F)


def _ends_of_endless(events: Events, at: Ints, ticks_per_beat: int) -> Ints:
    """Ends of notes with no note-off after them: "all notes off" on their channel, four beats, or the track's end."""
    onset = events.tick[at]
    silences = np.flatnonzero((events.status >> 4 == _CONTROL) & np.isin(events.first, _NOTES_OFF_CONTROLS))
    silence = next_of_key(at, _channel(events, at), silences, _channel(events, silences))
    track_end = np.asarray(events.ends, np.int64)[events.chunk[at]]
    longest = np.minimum(track_end, onset + STUCK_NOTE_BEATS * ticks_per_beat)
    return np.where(silence >= 0, events.tick[silence], longest)


def _programs(changes: list[Program], channel: Ints, at: Ints) -> Ints:
    """The program of each event: the last change on its (chunk, channel) before it, or 0."""
    if not changes:
        return np.zeros(len(at), np.int64)
    chunk, number, before, program = np.array(changes, np.int64).T
    span = int(max(before.max(), at.max(initial=0))) + 1
    key = (chunk << 4 | number) * span + before
    order = np.argsort(key, kind="stable")
    place = np.searchsorted(key[order], channel * span + at, side="right") - 1
    found = order[place]
    return np.where((place >= 0) & ((chunk << 4 | number)[found] == channel), program[found], 0)


def _controls(events: Events, parts: list[int]) -> list[Controls]:
    """Control changes of each part: those sent while its program is set, or else the first part's of the channel."""
    at = np.flatnonzero(events.status >> 4 == _CONTROL)
    if not len(at) or not parts:
        return [_NO_CONTROLS] * len(parts)
    channel = _channel(events, at)
    known = np.asarray(parts)
    part = channel << 7 | _programs(events.programs, channel, at)
    exact = np.minimum(np.searchsorted(known, part), len(known) - 1)
    first = np.minimum(np.searchsorted(known, channel << 7), len(known) - 1)
    index = np.where(known[exact] == part, exact, np.where(known[first] >> 7 == channel, first, -1))
    order = np.argsort(index, kind="stable")
    bounds = np.searchsorted(index[order], np.arange(len(parts) + 1))
    ordered = at[order]
    spans = [ordered[a:b] for a, b in pairwise(bounds.tolist())]
    return [Controls.trusted(events.tick[span], events.first[span], events.second[span]) for span in spans]


def _lyrics(events: Events, parts: list[int]) -> list[tuple[Text, ...]]:
    """Lyrics of each part: those of its chunk if it is the chunk's first part; without a part, the first has them."""
    if not parts:
        return []
    found = [meta for meta in events.metas if meta.kind == LYRIC]
    if not found:
        return [()] * len(parts)
    sung: dict[int, list[Meta]] = {}
    first_parts = {part >> 11: index for index, part in reversed(list(enumerate(parts)))}
    for meta in found:
        sung.setdefault(first_parts.get(meta.chunk, 0), []).append(meta)
    return [texts(sung.get(index, ()), LYRIC) for index in range(len(parts))]
