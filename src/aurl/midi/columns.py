"""symusic's score → ours, if it accounts for every event in the bytes."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from symusic.core import ScoreTick

from aurl.midi.repair import Repair, mend_notes
from aurl.midi.score import Controls, Ints, KeySignatures, Notes, Score, Tempos, Text, TimeSignatures, Track
from aurl.midi.skim import Skim

_NO_CONTROLS, _NO_TEMPOS, _NO_METERS, _NO_KEYS = Controls(), Tempos(), TimeSignatures(), KeySignatures()


class _Sounding(NamedTuple):
    """A track of symusic's with notes; its lists are asked for once, which is not free."""

    track: Any
    notes: Any
    controls: Any


def from_symusic(data: bytes, skim: Skim, *, bare: bool = False) -> tuple[Score, list[Repair]] | None:
    """The score as symusic reads it, or None where it does not account for all channel events of the bytes.

    Each of its notes stands for two events, a control change or pitch bend for one. Where the sum is right, no note
    was lost and no note-off is left over; where it is not, something was dropped, copied or not understood.

    Args:
        data: the file.
        skim: what its bytes hold.
        bare: leave out controls and texts, except the names of tracks.

    Returns:
        The score, its notes mended while they still stand in one table, and those repairs.
    """
    try:
        parsed = ScoreTick.from_midi(data)
    except RuntimeError:
        return None
    tracks = list(parsed.tracks)
    sounding = _sounding(tracks, skim.channel_events)
    lyrics = None if sounding is None else _lyrics(tracks, len(sounding), skim, bare=bare)
    if sounding is None or lyrics is None:
        return None
    notes, bounds, repairs = _mended(sounding)
    score = Score(
        parsed.ticks_per_quarter,
        tuple(map(_bare_track if bare else _track, sounding, _slices(notes, bounds), lyrics)),
        _tempos(parsed.tempos),
        _meters(parsed.time_signatures),
        _keys(parsed.key_signatures),
        () if bare else tuple([Text(text.time, text.text) for text in parsed.markers]),
    )
    return score, repairs


def _sounding(tracks: list[Any], channel_events: int) -> list[_Sounding] | None:
    """The tracks that have notes; None if all tracks do not make up for `channel_events`."""
    result, events = [], 0
    for track in tracks:
        one = _Sounding(track, track.notes, track.controls)
        count = len(one.notes)
        events += 2 * count + len(one.controls) + len(track.pitch_bends)
        if count:
            result.append(one)
    return result if events == channel_events else None


def _lyrics(tracks: list[Any], sounding: int, skim: Skim, *, bare: bool) -> list[tuple[Text, ...]] | None:
    """Lyrics of each sounding track, which symusic puts into tracks of their own; None where they cannot be placed."""
    result: list[tuple[Text, ...]] = [()] * sounding
    if not skim.lyric_chunks:
        return result
    eventful = {chunk: index for index, chunk in enumerate(sorted({run[0] for run in skim.runs if run[3]}))}
    sung = [track.lyrics for track in tracks if len(track.lyrics)]
    if len(eventful) != sounding or len(sung) != len(skim.lyric_chunks) or set(skim.lyric_chunks) - eventful.keys():
        return None
    if bare:
        return result
    for chunk, lyrics in zip(skim.lyric_chunks, sung, strict=True):
        result[eventful[chunk]] = tuple(Text(text.time, text.text) for text in lyrics)
    return result


def _mended(sounding: Sequence[_Sounding]) -> tuple[Notes, list[int], list[Repair]]:
    """The notes of all tracks, mended, where each track begins and ends among them, and the repairs.

    They are converted together: one array operation instead of one for each track.
    """
    if not sounding:
        return Notes(), [0], []
    columns = [one.notes.numpy() for one in sounding]
    if len(columns) == 1:
        times, durations, pitches, velocities = (columns[0][name] for name in _NOTE_COLUMNS)
    else:
        times, durations, pitches, velocities = (np.concatenate([c[name] for c in columns]) for name in _NOTE_COLUMNS)
    counts = [len(c["time"]) for c in columns]
    part = np.repeat(np.arange(len(counts)), counts) if len(counts) > 1 else np.zeros(counts[0], np.int64)
    notes = Notes.trusted(
        times.astype(np.int64), durations.astype(np.int64), pitches.view(np.uint8), velocities.view(np.uint8)
    )
    notes, kept, repairs = mend_notes(_ordered(notes, part), part)
    if len(kept) == len(part):
        return notes, [0, *accumulate(counts)], repairs
    return notes, np.searchsorted(kept, np.arange(len(counts) + 1)).tolist(), repairs


_NOTE_COLUMNS = ("time", "duration", "pitch", "velocity")


def _ordered(notes: Notes, part: Ints) -> Notes:
    """The notes in order of track, onset and pitch, as they nearly always are."""
    place = part << 31
    place += notes.onset
    place <<= 7
    place += notes.pitch
    if not (place[1:] < place[:-1]).any():
        return notes
    return notes.take(np.argsort(place))  # the order of doubled notes does not matter


def _slices(notes: Notes, bounds: list[int]) -> list[Notes]:
    """The notes of each track; a part of read-only columns is read-only."""
    onset, duration, pitch, velocity = notes.onset, notes.duration, notes.pitch, notes.velocity
    return [Notes.trusted(onset[a:b], duration[a:b], pitch[a:b], velocity[a:b]) for a, b in pairwise(bounds)]


def _track(one: _Sounding, notes: Notes, lyrics: tuple[Text, ...]) -> Track:
    controls = _NO_CONTROLS
    if len(one.controls):
        columns = one.controls.numpy()
        controls = Controls.trusted(columns["time"].astype(np.int64), columns["number"], columns["value"])
    is_drum = one.track.is_drum
    return Track(notes, 0 if is_drum else one.track.program, is_drum, one.track.name, controls, lyrics)


def _bare_track(one: _Sounding, notes: Notes, _: tuple[Text, ...]) -> Track:
    is_drum = one.track.is_drum
    return Track(notes, 0 if is_drum else one.track.program, is_drum, one.track.name, _NO_CONTROLS)


def _tempos(rows: Any) -> Tempos:
    if not len(rows):
        return _NO_TEMPOS
    columns = rows.numpy()
    return Tempos.trusted(columns["time"].astype(np.int64), columns["mspq"].astype(np.int64))


def _meters(rows: Any) -> TimeSignatures:
    if not len(rows):
        return _NO_METERS
    columns = rows.numpy()
    return TimeSignatures.trusted(*(columns[name].astype(np.int64) for name in ("time", "numerator", "denominator")))


def _keys(rows: Any) -> KeySignatures:
    if not len(rows):
        return _NO_KEYS
    columns = rows.numpy()
    tick, fifths = columns["time"].astype(np.int64), columns["key"].astype(np.int64)
    return KeySignatures.trusted(tick, fifths, columns["tonality"].astype(np.bool_))
