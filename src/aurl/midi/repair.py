"""What is mended in a score before anything else sees it: one pure function for each fault, each change counted.

Afterwards no two notes of one pitch overlap inside a track, every note lasts at least a tick, and the maps hold only
what they can mean. Faults of the bytes are mended where they are met: the container in `prescan`, single events in
`walk`, notes that never end in `assemble`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd
from typing import TypeVar

import numpy as np

from aurl.midi.score import Columns, Notes, Score, Track

MIN_BPM, MAX_BPM = 4.0, 1000.0
"""Tempi outside are mistakes of a program, not of a performer; the slowest that a file can say is 3.58."""
MAX_SILENT_BARS = 4
"""A piece may start after this many bars of rest; a longer rest was left by a sequencer."""
MAX_FIFTHS = 7
_MICROSECONDS_PER_MINUTE = 60_000_000

C = TypeVar("C", bound=Columns)


@dataclass(frozen=True, slots=True)
class Repair:
    """One kind of repair and how often it was made."""

    name: str
    count: int


Repaired = tuple[Score, list[Repair]]


def repair(score: Score) -> Repaired:
    """The score with every repair of this module made."""
    repairs: list[Repair] = []
    note_steps = (lengthen_empty_notes, merge_doubled_notes, end_overlapping_notes) if has_faulty_notes(score) else ()
    for step in (drop_absurd_tempi, drop_bad_meters, drop_bad_keys, *note_steps, *_LAST_STEPS):
        score, made = step(score)
        repairs += made
    return score, repairs


def has_faulty_notes(score: Score) -> bool:
    """Some note is empty, out of order, or overlaps another of its pitch in its track; one look at all tracks."""
    tracks = [track.notes for track in score.tracks]
    if not tracks:
        return False
    onset = np.concatenate([notes.onset for notes in tracks])
    duration = np.concatenate([notes.duration for notes in tracks])
    pitch = np.concatenate([notes.pitch for notes in tracks])
    track = np.repeat(np.arange(len(tracks)), [len(notes) for notes in tracks])
    if duration.min(initial=1) < 1:
        return True
    key = track << 7 | pitch
    order = np.argsort(key.astype(np.uint16) if len(tracks) <= 512 else key, kind="stable")
    ordered, key = onset[order], key[order]
    return bool(np.any((key[1:] == key[:-1]) & (ordered[:-1] + duration[order][:-1] > ordered[1:])))


def lengthen_empty_notes(score: Score) -> Repaired:
    """`zero_length_notes`: a note that ends where it begins lasts one tick."""

    def change(notes: Notes) -> tuple[Notes, int]:
        empty = notes.duration < 1
        return replace(notes, duration=np.maximum(notes.duration, 1)), int(empty.sum())

    return _in_each_track(score, "zero_length_notes", change)


def merge_doubled_notes(score: Score) -> Repaired:
    """`doubled_notes`: notes of one track with the same onset and pitch become one, as long and loud as the most."""

    def change(notes: Notes) -> tuple[Notes, int]:
        notes = notes.take(np.lexsort((notes.duration, notes.pitch, notes.onset)))
        last = np.append((np.diff(notes.onset) != 0) | (np.diff(notes.pitch) != 0), True)
        starts = np.flatnonzero(np.append(True, last[:-1]))
        return replace(notes.take(last), velocity=np.maximum.reduceat(notes.velocity, starts)), int((~last).sum())

    return _in_each_track(score, "doubled_notes", change)


def end_overlapping_notes(score: Score) -> Repaired:
    """`overlapping_notes`: a note ends where the next one of its pitch begins in its track."""

    def change(notes: Notes) -> tuple[Notes, int]:
        order = np.lexsort((notes.onset, notes.pitch))
        onset, pitch = notes.onset[order], notes.pitch[order]
        room = np.append(np.where(np.diff(pitch) == 0, np.diff(onset), np.iinfo(np.int64).max), np.iinfo(np.int64).max)
        duration = np.empty_like(notes.duration)
        duration[order] = np.minimum(notes.duration[order], room)
        return replace(notes, duration=duration), int(np.count_nonzero(duration != notes.duration))

    return _in_each_track(score, "overlapping_notes", change)


def _in_each_track(score: Score, name: str, change: Callable[[Notes], tuple[Notes, int]]) -> Repaired:
    changed = [change(track.notes) if len(track.notes) else (track.notes, 0) for track in score.tracks]
    total = sum(count for _, count in changed)
    if not total:
        return score, []
    tracks = (replace(track, notes=notes) for track, (notes, _) in zip(score.tracks, changed, strict=True))
    return replace(score, tracks=tuple(tracks)), [Repair(name, total)]


def drop_absurd_tempi(score: Score) -> Repaired:
    """`absurd_tempi`: changes to a tempo outside 4–1,000 BPM are left out."""
    length = score.tempos.microseconds_per_beat
    good = (length >= _MICROSECONDS_PER_MINUTE / MAX_BPM) & (length <= _MICROSECONDS_PER_MINUTE / MIN_BPM)
    kept, repairs = _keep(score.tempos, good, "absurd_tempi")
    return (replace(score, tempos=kept) if repairs else score), repairs


def drop_bad_meters(score: Score) -> Repaired:
    """`bad_meters`: changes to a meter with a 0 above or below are left out."""
    meters = score.time_signatures
    kept, repairs = _keep(meters, (meters.numerator > 0) & (meters.denominator > 0), "bad_meters")
    return (replace(score, time_signatures=kept) if repairs else score), repairs


def drop_bad_keys(score: Score) -> Repaired:
    """`bad_keys`: keys of more than seven flats or sharps are left out."""
    keys = score.key_signatures
    kept, repairs = _keep(keys, np.abs(keys.fifths) <= MAX_FIFTHS, "bad_keys")
    return (replace(score, key_signatures=kept) if repairs else score), repairs


def _keep(columns: C, good: np.ndarray, name: str) -> tuple[C, list[Repair]]:
    dropped = len(good) - int(np.count_nonzero(good))
    return (columns.take(good), [Repair(name, dropped)]) if dropped else (columns, [])


def drop_duplicate_tracks(score: Score) -> Repaired:
    """`duplicate_tracks`: of tracks with the same instrument and the same notes, only the first is kept."""
    seen: dict[tuple[int, bool, int, int, int], list[Track]] = {}
    kept = []
    for track in score.tracks:
        notes = track.notes
        ends = (int(notes.onset[0]), int(notes.onset[-1])) if len(notes) else (0, 0)
        alike = seen.setdefault((track.program, track.is_drum, len(notes), *ends), [])
        if not any(other.notes == notes for other in alike):
            alike.append(track)
            kept.append(track)
    dropped = len(score.tracks) - len(kept)
    return (replace(score, tracks=tuple(kept)), [Repair("duplicate_tracks", dropped)]) if dropped else (score, [])


def trim_leading_silence(score: Score) -> Repaired:
    """`leading_silence`: more than four empty bars at the start are left out; counted in bars.

    Only whole bars are, so that the music keeps its place in the bar. What was set in them is set at the new start.
    """
    first = min((int(track.notes.onset[0]) for track in score.tracks if len(track.notes)), default=0)
    if first <= score.ticks_per_beat:
        return score, []
    bars, ticks = _whole_bars(score, first)
    if bars <= MAX_SILENT_BARS:
        return score, []
    return shift_earlier(score, ticks), [Repair("leading_silence", bars)]


def _whole_bars(score: Score, until: int) -> tuple[int, int]:
    """How many bars are over at tick `until`, and the tick at which the last of them ends."""
    meters = score.time_signatures
    changes = [
        (0, 4, 4),
        *zip(meters.tick.tolist(), meters.numerator.tolist(), meters.denominator.tolist(), strict=True),
    ]
    changes = [change for change in changes if change[0] < until]
    bars, end = 0, 0
    for (tick, numerator, denominator), stop in zip(changes, [c[0] for c in changes[1:]] + [until], strict=True):
        quarters = 4 * numerator * score.ticks_per_beat
        whole = (stop - tick) * denominator // quarters
        whole -= whole % (denominator // gcd(quarters, denominator))  # bars that end between two ticks cannot be cut
        bars, end = bars + whole, tick + whole * quarters // denominator
    return bars, end


def shift_earlier(score: Score, ticks: int) -> Score:
    """The score from tick `ticks` on, before which no note may begin; what was set earlier is set at its start."""
    tracks = tuple(
        replace(
            track,
            notes=replace(track.notes, onset=track.notes.onset - ticks),
            controls=replace(track.controls, tick=np.maximum(track.controls.tick - ticks, 0)),
            lyrics=tuple(replace(text, tick=max(text.tick - ticks, 0)) for text in track.lyrics),
        )
        for track in score.tracks
    )
    return replace(
        score,
        tracks=tracks,
        tempos=_map_from(score.tempos, ticks),
        time_signatures=_map_from(score.time_signatures, ticks),
        key_signatures=_map_from(score.key_signatures, ticks),
        markers=tuple(replace(text, tick=max(text.tick - ticks, 0)) for text in score.markers),
    )


def _map_from(columns: C, ticks: int) -> C:
    """A map from tick `ticks` on, with what is in force there at 0."""
    tick: np.ndarray = columns.tick  # type: ignore[attr-defined]
    in_force = max(int(np.searchsorted(tick, ticks, side="right")) - 1, 0)
    kept = columns.take(slice(in_force, None))
    return replace(kept, tick=np.maximum(tick[in_force:] - ticks, 0))  # type: ignore[type-var]


_LAST_STEPS = (drop_duplicate_tracks, trim_leading_silence)
