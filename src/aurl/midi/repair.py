"""What is mended in a score before anything else sees it: one pure function for each fault, each change counted.

Afterwards no two notes of one pitch overlap inside a track, every note lasts at least a tick, and the maps hold only
what they can mean. Faults of the bytes are mended where they are met: the container in `prescan`, single events in
`walk`, notes that never end in `assemble`.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd, inf
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Columns, Ints, Notes, Score, Track, joined

MIN_BPM, MAX_BPM = 4.0, 1000.0
"""Tempi outside are mistakes of a program, not of a performer; the slowest that a file can say is 3.58."""
MAX_SILENT_BARS = 4
"""A piece may start after this many bars of rest; a longer rest was left by a sequencer."""
MAX_FIFTHS = 7
_FOREVER = np.iinfo(np.int64).max
_MICROSECONDS_PER_MINUTE = 60_000_000
_SHORTEST_BEAT, _LONGEST_BEAT = _MICROSECONDS_PER_MINUTE / MAX_BPM, _MICROSECONDS_PER_MINUTE / MIN_BPM

C = TypeVar("C", bound=Columns)


@dataclass(frozen=True, slots=True)
class Repair:
    """One kind of repair and how often it was made."""

    name: str
    count: int


Repaired = tuple[Score, list[Repair]]
Parts = NDArray[np.int64]
"""Track of each note, where the notes of all tracks stand in one table: track by track, each by (onset, pitch)."""
_MAX_NARROW_PARTS = 2**16 // 128


def repair(score: Score) -> Repaired:
    """The score with every repair of this module made."""
    score, repairs = repair_notes(score)
    score, others = repair_frame(score)
    return score, repairs + others


def repair_frame(score: Score) -> Repaired:
    """The score with every repair made but those of single notes."""
    repairs: list[Repair] = []
    for step in (drop_absurd_tempi, drop_bad_meters, drop_bad_keys, drop_duplicate_tracks, trim_leading_silence):
        score, made = step(score)
        repairs += made
    return score, repairs


def repair_notes(score: Score) -> Repaired:
    """The score with the notes of all its tracks repaired, in one table so that the cost does not grow with tracks."""
    tracks = [track.notes for track in score.tracks]
    if not tracks:
        return score, []
    part = np.repeat(np.arange(len(tracks)), [len(t) for t in tracks])
    notes, part, repairs = mend_notes(joined(tracks), part)
    if not repairs:
        return score, []
    bounds = np.searchsorted(part, np.arange(len(tracks) + 1)).tolist()
    pieces = (notes.take(slice(start, stop)) for start, stop in pairwise(bounds))
    changed = tuple(replace(track, notes=piece) for track, piece in zip(score.tracks, pieces, strict=True))
    return replace(score, tracks=changed), repairs


def mend_notes(notes: Notes, part: Parts) -> tuple[Notes, Parts, list[Repair]]:
    """The notes of all tracks in one table with every repair of single notes made."""
    notes, lengthened = lengthen_empty_notes(notes)
    late, room = _overlaps(notes, part)
    doubled = 0
    if not room.all():  # notes of one pitch begin at once
        notes, part, doubled = merge_doubled_notes(notes, part)
        late, room = _overlaps(notes, part)
    counts = {"zero_length_notes": lengthened, "doubled_notes": doubled, "overlapping_notes": len(late)}
    return _cut(notes, late, room), part, [Repair(name, count) for name, count in counts.items() if count]


def lengthen_empty_notes(notes: Notes) -> tuple[Notes, int]:
    """A note that ends where it begins lasts one tick."""
    empty = int(np.count_nonzero(notes.duration < 1))
    return (notes.with_durations(np.maximum(notes.duration, 1)) if empty else notes), empty


def merge_doubled_notes(notes: Notes, part: Parts) -> tuple[Notes, Parts, int]:
    """Notes of one track with the same onset and pitch become one, as long and loud as the most of them."""
    onset, pitch = notes.onset, notes.pitch
    doubles = (onset[1:] == onset[:-1]) & (pitch[1:] == pitch[:-1]) & (part[1:] == part[:-1])
    doubled = int(np.count_nonzero(doubles))
    if not doubled:
        return notes, part, 0
    first = np.append(True, ~doubles).nonzero()[0]
    longest, loudest = (np.maximum.reduceat(column, first) for column in (notes.duration, notes.velocity))
    return Notes.trusted(onset[first], longest, pitch[first], loudest), part[first], doubled


def _cut(notes: Notes, late: NDArray[np.intp], room: Ints) -> Notes:
    """A note ends where the next one of its pitch begins in its track."""
    if not len(late):
        return notes
    duration = notes.duration.copy()
    duration[late] = room
    return notes.with_durations(duration)


def _overlaps(notes: Notes, part: Parts) -> tuple[NDArray[np.intp], Ints]:
    """(which notes still sound when the next of their pitch begins in their track; how long they have until then)."""
    lane = part << 7
    lane += notes.pitch
    if not len(part) or part[-1] < _MAX_NARROW_PARTS:
        narrow = lane.astype(np.uint16)
        order = narrow.argsort(kind="stable")  # radix sort, linear
        narrow = narrow.take(order)
        same = narrow[1:] == narrow[:-1]
    else:
        order = lane.argsort(kind="stable")
        lane = lane.take(order)
        same = lane[1:] == lane[:-1]
    onset = notes.onset.take(order)
    room = onset[1:] - onset[:-1]
    same &= notes.duration.take(order)[:-1] > room
    late = same.nonzero()[0]
    return order.take(late), room.take(late)


def drop_absurd_tempi(score: Score) -> Repaired:
    """`absurd_tempi`: changes to a tempo outside 4–1,000 BPM are left out."""
    length = score.tempos.microseconds_per_beat
    if _within(length, _SHORTEST_BEAT, _LONGEST_BEAT):
        return score, []
    good = (length >= _SHORTEST_BEAT) & (length <= _LONGEST_BEAT)
    kept, repairs = _keep(score.tempos, good, "absurd_tempi")
    return (replace(score, tempos=kept) if repairs else score), repairs


def drop_bad_meters(score: Score) -> Repaired:
    """`bad_meters`: changes to a meter with a 0 above or below are left out."""
    meters = score.time_signatures
    if _within(meters.numerator, 1) and _within(meters.denominator, 1):
        return score, []
    kept, repairs = _keep(meters, (meters.numerator > 0) & (meters.denominator > 0), "bad_meters")
    return (replace(score, time_signatures=kept) if repairs else score), repairs


def drop_bad_keys(score: Score) -> Repaired:
    """`bad_keys`: keys of more than seven flats or sharps are left out."""
    keys = score.key_signatures
    if _within(keys.fifths, -MAX_FIFTHS, MAX_FIFTHS):
        return score, []
    kept, repairs = _keep(keys, np.abs(keys.fifths) <= MAX_FIFTHS, "bad_keys")
    return (replace(score, key_signatures=kept) if repairs else score), repairs


def _within(values: NDArray[np.int64], least: float, most: float = inf) -> bool:
    """All values are in a range; as Python's numbers, for most maps have one row."""
    numbers = values.tolist()
    return not numbers or (min(numbers) >= least and max(numbers) <= most)


def _keep(columns: C, good: NDArray[np.bool_], name: str) -> tuple[C, list[Repair]]:
    dropped = len(good) - int(np.count_nonzero(good))
    return (columns.take(good), [Repair(name, dropped)]) if dropped else (columns, [])


def drop_duplicate_tracks(score: Score) -> Repaired:
    """`duplicate_tracks`: of tracks with the same instrument and notes only the first is kept, with the lyrics of all.

    Notes are the same where onset, duration, pitch and velocity are.
    """
    count = len(score.tracks)
    if count <= 1 or len({_outline(track) for track in score.tracks}) == count:
        return score, []
    places: dict[tuple[int, bool, bytes], int] = {}
    kept: list[Track] = []
    for track in score.tracks:
        columns = (getattr(track.notes, name) for name in Notes._dtypes)
        content = (track.program, track.is_drum, b"".join(column.tobytes() for column in columns))
        twin = places.setdefault(content, len(kept))
        if twin == len(kept):
            kept.append(track)
        elif track.lyrics and not kept[twin].lyrics:
            kept[twin] = replace(kept[twin], lyrics=track.lyrics)
    dropped = len(score.tracks) - len(kept)
    return (replace(score, tracks=tuple(kept)), [Repair("duplicate_tracks", dropped)]) if dropped else (score, [])


def _outline(track: Track) -> tuple[int, bool, int, int, int]:
    """What duplicates have in common, cheap to tell: few scores have two tracks with the same."""
    onset = track.notes.onset
    count = len(onset)
    first, last = (onset.item(0), onset.item(count - 1)) if count else (0, 0)
    return track.program, track.is_drum, count, first, last


def trim_leading_silence(score: Score) -> Repaired:
    """`leading_silence`: more than four empty bars at the start are left out.

    Only whole bars are, so that the music keeps its place in the bar. What was set in them is set at the new start.
    """
    first = min([track.notes.onset.item(0) for track in score.tracks if len(track.notes)], default=0)
    if first <= score.ticks_per_beat:
        return score, []
    bars, ticks = _whole_bars(score, first)
    if bars <= MAX_SILENT_BARS:
        return score, []
    return shift_earlier(score, ticks), [Repair("leading_silence", 1)]


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
    tick: NDArray[np.int64] = columns.tick  # type: ignore[attr-defined]
    in_force = max(int(np.searchsorted(tick, ticks, side="right")) - 1, 0)
    kept = columns.take(slice(in_force, None))
    return replace(kept, tick=np.maximum(tick[in_force:] - ticks, 0))  # type: ignore[type-var]
