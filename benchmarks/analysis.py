"""Keys and chords that `aurl.studies` hears, against those that people wrote down.

Songs are folders of POP909 (chord_midi.txt, beat_midi.txt, key_audio.txt beside the MIDI file); chords are compared by
`mir_eval.chord`, keys also with what music21 finds. Constants were chosen on the first half of the songs.

python -m benchmarks.analysis SONGS [--half second] [--music21]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
import symusic
from numpy.typing import NDArray

from aurl.studies.chords import estimate_chords
from aurl.studies.key import estimate_key
from aurl.studies.names import parse_key
from aurl.studies.pitch_classes import KEYS, NO_CHORD, OCTAVE, QUALITIES, tonic_of

ROOTS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
HARTE = {"6": "maj6"}
COMPARISONS = ("root", "majmin", "mirex", "sevenths")
WINDOW_NOTES, WINDOW_SPANS = 320, 40
"""What a training window of 1,024 ids holds."""
ROUNDS = 300


@dataclass(frozen=True)
class Song:
    """Notes in seconds, and what people wrote down of them."""

    path: Path
    onset: NDArray[np.float64]
    offset: NDArray[np.float64]
    pitch: NDArray[np.int64]
    spans: NDArray[np.float64]
    intervals: NDArray[np.float64]
    chords: list[str]
    key: int

    @classmethod
    def read(cls, folder: Path) -> "Song":
        path = folder / f"{folder.name}.mid"
        columns = [track.notes.numpy() for track in symusic.Score(path, ttype="Second").tracks if not track.is_drum]
        onset, duration, pitch = (np.concatenate([c[name] for c in columns]) for name in ("time", "duration", "pitch"))
        beats = np.loadtxt(folder / "beat_midi.txt")
        chords = [line.split() for line in (folder / "chord_midi.txt").read_text().splitlines()]
        keys = [line.split() for line in (folder / "key_audio.txt").read_text().splitlines()]
        longest = max(keys, key=lambda row: float(row[1]) - float(row[0]))[2]
        return cls(
            path,
            onset.astype(np.float64),
            (onset + duration).astype(np.float64),
            pitch.astype(np.int64),
            beats[beats[:, 1] == 1, 0],
            np.array([[float(start), float(end)] for start, end, _ in chords]),
            [label for *_, label in chords],
            parse_key(longest.replace(":", " ")),
        )


def harte(value: int) -> str:
    if value == NO_CHORD:
        return "N"
    quality, root = divmod(value - 1, OCTAVE)
    name = list(QUALITIES)[quality]
    return f"{ROOTS[root]}:{HARTE.get(name, name)}"


def chords_of(song: Song) -> dict[str, float]:
    """Share of the time that each comparison of mir_eval holds right."""
    heard = estimate_chords(song.onset, song.offset, song.pitch, spans=song.spans)
    scores = mir_eval.chord.evaluate(
        song.intervals,
        song.chords,
        np.stack([song.spans[:-1], song.spans[1:]], axis=1),
        [harte(value) for value in heard],
    )
    return {name: float(scores[name]) for name in (*COMPARISONS, "seg")}


def ours(song: Song) -> int:
    found = estimate_key(song.pitch, song.offset - song.onset)
    return -1 if found is None else found.value


def music21(song: Song) -> int:
    """Its Krumhansl-Schmuckler analysis of the same notes."""
    from music21 import note, stream

    notes = stream.Stream()
    for pitch, seconds in zip(song.pitch.tolist(), (song.offset - song.onset).tolist(), strict=True):
        notes.coreAppend(note.Note(pitch, quarterLength=round(seconds, 2)))
    notes.coreElementsChanged()
    return parse_key(notes.analyze("key").name.replace("-", "b"))


def key_score(truth: int, found: int) -> float:
    """MIREX: 1 for the key, 0.5 for its fifth, 0.3 for its relative, 0.2 for its parallel."""
    names = [f"{ROOTS[tonic_of(key)]} {'minor' if KEYS[key][1] else 'major'}" for key in (truth, found)]
    return float(mir_eval.key.weighted_score(*names))


def keys_of(songs: Sequence[Song], find: Callable[[Song], int]) -> str:
    scores = np.array([key_score(song.key, find(song)) for song in songs])
    return f"right {np.mean(scores == 1):.3f}, MIREX {scores.mean():.3f}"


def microseconds(run: Callable[[], object]) -> float:
    """Median of many calls."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--half", choices=("first", "second"), default="second")
    parser.add_argument("--music21", action="store_true")
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.songs.glob("*/chord_midi.txt"))
    half = slice(len(folders) // 2) if options.half == "first" else slice(len(folders) // 2, None)
    songs = [Song.read(folder) for folder in folders[half]]
    scores = [chords_of(song) for song in songs]
    print(f"chords, {len(songs)} songs: " + ", ".join(f"{n} {np.mean([s[n] for s in scores]):.3f}" for n in scores[0]))
    print(f"keys, {len(songs)} songs: {keys_of(songs, ours)}")
    if options.music21:
        print(f"keys by music21: {keys_of(songs, music21)}")
    pitch, edges = songs[0].pitch[:WINDOW_NOTES], songs[0].spans[: WINDOW_SPANS + 1]
    onset, offset = songs[0].onset[:WINDOW_NOTES], songs[0].offset[:WINDOW_NOTES]
    print(f"chords of a window: {microseconds(lambda: estimate_chords(onset, offset, pitch, spans=edges)):.0f} µs")
    print(f"key of a window: {microseconds(lambda: estimate_key(pitch, offset - onset)):.0f} µs")


if __name__ == "__main__":
    main()
