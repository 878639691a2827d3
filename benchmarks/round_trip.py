"""How exactly a folder's pieces come back from their ids: `python -m benchmarks.round_trip FOLDER`.

For both time bases, with parts and without: notes back, onset and offset errors in steps against the file's own ticks,
tempo, meter and key maps, and the time that encoding and decoding take. Errors are measured in floating-point time
from the ticks of both scores, not with the codec's own arithmetic: `grid` is the error of the step that the ids say,
`onset` and `offset` that of the tick in the decoded score. A grid point that falls between two ticks is rounded to one
of them, so there the error may exceed half a step by half a tick; `beyond` counts what is outside that.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aurl.midi.read import load_score
from aurl.midi.reasons import Rejected
from aurl.midi.score import Score, Track
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.maps import Maps
from aurl.tokens.parts import keep_parts, merge_parts

Floats = NDArray[np.float64]
SUFFIXES = {".mid", ".midi", ".kar", ".rmi", ".smf"}
ROUNDING = 1e-6
"""Steps by which the measurement's own floating point may be off."""


@dataclass
class Tally:
    """Sums and maxima over the pieces of a folder; errors are in steps."""

    counts: Counter[str] = field(default_factory=Counter)
    largest: dict[str, float] = field(default_factory=dict)

    def most(self, name: str, value: float) -> None:
        """Keep the largest value seen."""
        self.largest[name] = max(self.largest.get(name, 0.0), float(value))

    def errors(self, name: str, errors: Floats, half_tick: float) -> None:
        """Count errors over half a step, and over half a step and half a tick."""
        if len(errors):
            self.most(f"{name}_error", errors.max())
            self.counts[f"{name}_over_half_step"] += int((errors > 0.5 + ROUNDING).sum())
            self.counts[f"{name}_beyond"] += int((errors > 0.5 + half_tick + ROUNDING).sum())


@dataclass(frozen=True)
class Lanes:
    """Notes of one part in order of (pitch, onset, offset), times in steps."""

    pitch: NDArray[np.int64]
    onset: Floats
    offset: Floats


def files(folder: Path) -> list[Path]:
    """MIDI files under `folder`, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def clock(score: Score, time_base: str) -> tuple[Floats, Floats]:
    """Ticks and the time in steps at each of them, between which time runs evenly."""
    if time_base == "beats":
        ticks, lengths = np.array([0.0]), np.array([32 / score.ticks_per_beat])
    else:
        ticks = np.append(0.0, score.tempos.tick)
        lengths = np.append(500_000, score.tempos.microseconds_per_beat) * 64e-6 / score.ticks_per_beat
    far = max(score.end_tick, ticks[-1]) + 10**6
    ticks = np.append(ticks, far)
    return ticks, np.append(0.0, np.cumsum(np.diff(ticks) * lengths))


def lanes(tracks: list[Track], ticks: Floats, steps: Floats) -> Lanes:
    """The notes of some tracks as one part."""
    pitch = np.concatenate([track.notes.pitch for track in tracks]).astype(np.int64)
    onset = np.interp(np.concatenate([track.notes.onset for track in tracks]), ticks, steps)
    offset = np.interp(np.concatenate([track.notes.offset for track in tracks]), ticks, steps)
    order = np.lexsort((offset, onset, pitch))
    return Lanes(pitch[order], onset[order], offset[order])


def unisons_merged(notes: Lanes) -> Lanes:
    """One note, the longest, for each pitch and onset step."""
    step = np.floor(notes.onset + 0.5)
    order = np.lexsort((notes.offset, step, notes.pitch))
    last = np.append(np.diff(notes.pitch[order]) != 0, True) | np.append(np.diff(step[order]) != 0, True)
    keep = order[last]
    return Lanes(notes.pitch[keep], notes.onset[keep], notes.offset[keep])


def pairs(score: Score, back: Score, ids: NDArray[np.uint16], codec: Codec) -> Iterator[tuple[Lanes, Lanes, Lanes]]:
    """What each part should be, what it is in the decoded score, and what the ids say."""
    ticks, steps = clock(score, codec.time_base)
    played = read_notes(ids)
    plan = keep_parts(score.tracks) if codec.parts else merge_parts(score.tracks)
    for number, track in enumerate(back.tracks):
        originals = [one for one, part in zip(plan.tracks, plan.part, strict=True) if part == number]
        expected = lanes(originals, ticks, steps)
        of_part = played.part == number
        order = np.lexsort((played.offset[of_part], played.onset[of_part], played.pitch[of_part]))
        columns = (played.pitch, played.onset.astype(float), played.offset.astype(float))
        grid = Lanes(*(column[of_part][order] for column in columns))
        yield expected if codec.parts else unisons_merged(expected), lanes([track], ticks, steps), grid


def compare(tally: Tally, expected: Lanes, found: Lanes, grid: Lanes, half_tick: float) -> None:
    """Errors of one part. A note over which the next of its pitch begins is expected to end there."""
    if len(expected.pitch) != len(found.pitch) or (expected.pitch != found.pitch).any():
        tally.counts["parts_that_differ"] += 1
        return
    following = np.where(np.append(np.diff(expected.pitch), 1) == 0, np.append(expected.onset[1:], 0), np.inf)
    offset = np.minimum(expected.offset, following)
    empty = np.floor(expected.onset + 0.5) == np.floor(offset + 0.5)
    onset_error, offset_error = np.abs(found.onset - expected.onset), np.abs(found.offset - offset)
    tally.errors("grid_onset", np.abs(grid.onset - expected.onset), 0)
    tally.errors("grid_offset", np.abs(grid.offset - offset), 0)
    tally.errors("onset", onset_error, half_tick)
    tally.errors("offset", offset_error[~empty], half_tick)
    tally.counts["empty_on_grid"] += int(empty.sum())
    if empty.any():
        tally.most("empty_offset_error", offset_error[empty].max())
    at_end = expected.onset.argmax()
    tally.counts["last_onset_over_half_step"] += int(onset_error[at_end] > 0.5 + half_tick + ROUNDING)


def measure(scores: list[Score], codec: Codec) -> Tally:
    """Encode and decode every score."""
    tally = Tally()
    for score in scores:
        begin = time.perf_counter()
        encoded = codec.encode(score)
        middle = time.perf_counter()
        back = codec.decode(encoded.ids, encoded.maps)
        end = time.perf_counter()
        tally.counts.update(notes=score.note_count, notes_back=back.note_count, ids=len(encoded.ids), **encoded.repairs)
        tally.counts["encode_us"] += round((middle - begin) * 1e6)
        tally.counts["decode_us"] += round((end - middle) * 1e6)
        tally.counts["maps_that_differ"] += Maps.of(back) != Maps.of(score)
        longest = max([500_000, *score.tempos.microseconds_per_beat.tolist()]) * 64e-6
        half_tick = 0.5 * (32 if codec.time_base == "beats" else longest) / score.ticks_per_beat
        for expected, found, grid in pairs(score, back, encoded.ids, codec):
            compare(tally, expected, found, grid, half_tick)
            tally.most("steps_of_longest_piece", expected.offset.max(initial=0))
    return tally


def main() -> None:
    """Measure and print one JSON object for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    scores, rejected = [], Counter[str]()
    for path in files(folder):
        try:
            scores.append(load_score(path).score)
        except Rejected as error:
            rejected[error.reason.value] += 1
    print(json.dumps({"files": len(scores), "rejected": rejected}))
    for time_base in ("beats", "seconds"):
        for parts in (True, False):
            tally = measure(scores, Codec(time_base=time_base, parts=parts))
            tally.counts["encode_us_per_file"] = tally.counts.pop("encode_us") // max(len(scores), 1)
            tally.counts["decode_us_per_file"] = tally.counts.pop("decode_us") // max(len(scores), 1)
            print(json.dumps({"time_base": time_base, "parts": parts} | dict(tally.counts) | tally.largest))


if __name__ == "__main__":
    main()
