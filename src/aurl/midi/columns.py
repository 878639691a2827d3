"""symusic's score → ours, if it accounts for every event in the bytes."""

from itertools import pairwise
from typing import Any

import numpy as np
from symusic.core import ScoreTick

from aurl.midi.score import Controls, KeySignatures, Notes, Score, Tempos, Text, TimeSignatures, Track
from aurl.midi.skim import Skim

_NO_CONTROLS, _NO_TEMPOS, _NO_METERS, _NO_KEYS = Controls(), Tempos(), TimeSignatures(), KeySignatures()


def from_symusic(data: bytes, skim: Skim) -> Score | None:
    """The score as symusic reads it, or None where it does not account for all channel events of the bytes.

    Each of its notes stands for two events, a control change or pitch bend for one. Where the sum is right, no note
    was lost and no note-off is left over; where it is not, something was dropped, copied or not understood.
    """
    try:
        parsed = ScoreTick.from_midi(data)
    except RuntimeError:
        return None
    tracks = list(parsed.tracks)
    if sum(2 * len(t.notes) + len(t.controls) + len(t.pitch_bends) for t in tracks) != skim.channel_events:
        return None
    sounding = [track for track in tracks if len(track.notes)]
    lyrics = _lyrics(tracks, sounding, skim)
    if lyrics is None:
        return None
    tempos, meters, keys = parsed.tempos.numpy(), parsed.time_signatures.numpy(), parsed.key_signatures.numpy()
    return Score(
        parsed.ticks_per_quarter,
        tuple(map(_track, sounding, _notes(sounding), lyrics)),
        Tempos(tempos["time"], tempos["mspq"]) if len(tempos["time"]) else _NO_TEMPOS,
        TimeSignatures(meters["time"], meters["numerator"], meters["denominator"])
        if len(meters["time"])
        else _NO_METERS,
        KeySignatures(keys["time"], keys["key"], keys["tonality"]) if len(keys["time"]) else _NO_KEYS,
        tuple(Text(text.time, text.text) for text in parsed.markers),
    )


def _lyrics(tracks: list[Any], sounding: list[Any], skim: Skim) -> list[tuple[Text, ...]] | None:
    """Lyrics of each sounding track, which symusic puts into tracks of their own; None where they cannot be placed."""
    result: list[tuple[Text, ...]] = [()] * len(sounding)
    if not skim.lyric_chunks:
        return result
    eventful = {chunk: index for index, chunk in enumerate(sorted({run[0] for run in skim.runs if run[3]}))}
    sung = [track.lyrics for track in tracks if len(track.lyrics)]
    if (
        len(eventful) != len(sounding)
        or len(sung) != len(skim.lyric_chunks)
        or set(skim.lyric_chunks) - eventful.keys()
    ):
        return None
    for chunk, lyrics in zip(skim.lyric_chunks, sung, strict=True):
        result[eventful[chunk]] = tuple(Text(text.time, text.text) for text in lyrics)
    return result


def _notes(tracks: list[Any]) -> list[Notes]:
    """The notes of all tracks, converted together: one array operation instead of one for each track."""
    if not tracks:
        return []
    columns = [track.notes.numpy() for track in tracks]
    onset, duration = (np.concatenate([c[name] for c in columns], dtype=np.int64) for name in ("time", "duration"))
    pitch, velocity = (np.concatenate([c[name] for c in columns]).view(np.uint8) for name in ("pitch", "velocity"))
    stops = np.cumsum([len(c["time"]) for c in columns])
    place = onset << 7 | pitch
    unordered = place[1:] < place[:-1]
    unordered[stops[:-1] - 1] = False
    if unordered.any():
        track = np.repeat(np.arange(len(stops)), np.diff(stops, prepend=0))
        order = np.argsort(track << 38 | place)  # 31 + 7 bits; the order of doubled notes does not matter
        onset, duration, pitch, velocity = onset[order], duration[order], pitch[order], velocity[order]
    for column in (onset, duration, pitch, velocity):
        column.flags.writeable = False
    bounds = [0, *stops.tolist()]
    slices = [slice(a, b) for a, b in pairwise(bounds)]
    return [Notes(onset[s], duration[s], pitch[s], velocity[s]) for s in slices]


def _track(track: Any, notes: Notes, lyrics: tuple[Text, ...]) -> Track:
    controls = _NO_CONTROLS
    if len(track.controls):
        columns = track.controls.numpy()
        controls = Controls(columns["time"], columns["number"], columns["value"])
    is_drum = track.is_drum
    return Track(notes, 0 if is_drum else track.program, is_drum, track.name, controls, lyrics)
