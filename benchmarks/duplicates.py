"""Whether near-duplicates are found, and only they: `python -m benchmarks.duplicates FOLDER --clean FOLDER2`.

Every piece of FOLDER is changed in memory in each way of `CHANGES`; originals and changed copies are grouped together.
Recall is the share of copies that are in their original's group. Precision is the share of pairs within groups that
are right: of one source, or of two sources that were alike before anything was changed. Alike are, by a rule that
shares nothing with the fingerprints, originals that have a quarter of the 10-grams of their top line (of their hits,
for drums) in common; "strict" counts these as wrong too.

FOLDER2 holds other people's versions of songs of FOLDER, as POP909 has them: `NAME_cl.mid` of `NAME.mid` in a folder
of the same name as FOLDER2. They are grouped together with all of FOLDER.

datasketch's MinHash and MinHashLSH get the same n-grams of the originals and of the copies with all changes at once.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aurl.data.fingerprint import FINGERPRINT_SIZE, MIN_FILLED, fingerprint, min_hash, n_grams
from aurl.data.near_duplicates import DEFAULT_SIMILARITY, group, similarity
from aurl.midi.read import load_score
from aurl.midi.reasons import Rejected
from aurl.midi.score import DEFAULT_TEMPO, Notes, Score, Track, joined

GOALS = {"recall": 0.95, "precision": 0.98}
SHARED_GRAMS, GRAM = 0.25, 10
MOST_SEMITONES = 6
STRETCH = (0.8, 1.25)
JITTER_MS = 10
LONG_BEATS = 64
"""Pieces shorter than this have no bars to spare."""
BAR_BEATS = 4
MIN_TICKS_PER_BEAT = 1000
"""Of jittered copies, so that a millisecond is not rounded away."""

Rng = np.random.Generator
Change = Callable[[Score, Rng], Score | None]
Prints = np.ndarray[Any, Any]


def transposed(score: Score, rng: Rng) -> Score | None:
    """By up to six semitones, where the pitches allow it; None without pitched notes."""
    pitched = [track.notes.pitch for track in score.tracks if len(track.notes) and not track.is_drum]
    if not pitched:
        return None
    low, high = min(int(pitch.min()) for pitch in pitched), max(int(pitch.max()) for pitch in pitched)
    shifts = [by for by in range(-MOST_SEMITONES, MOST_SEMITONES + 1) if by and low + by >= 0 and high + by <= 127]
    by = int(rng.choice(shifts)) if shifts else 0
    return _each(
        score,
        lambda track: track.notes if track.is_drum else _with(track.notes, pitch=track.notes.pitch + np.int64(by)),
    )


def stretched(score: Score, rng: Rng) -> Score:
    """All ticks times 0.8 to 1.25; a beat has as many ticks as before."""
    factor = float(np.exp(rng.uniform(*np.log(STRETCH))))
    return _each(score, lambda track: _timed(track.notes, track.notes.onset * factor, track.notes.duration * factor))


def with_velocities(score: Score, rng: Rng) -> Score:
    """Velocities drawn anew."""
    return _each(score, lambda track: _with(track.notes, velocity=rng.integers(1, 128, len(track.notes))))


def jittered(score: Score, rng: Rng, *, milliseconds: float = JITTER_MS) -> Score:
    """Every note up to so many milliseconds earlier or later, at the first tempo."""
    finer = -(-MIN_TICKS_PER_BEAT // score.ticks_per_beat)
    tempo = int(score.tempos.microseconds_per_beat[0]) if len(score.tempos) else DEFAULT_TEMPO
    most = milliseconds * 1000 / tempo * score.ticks_per_beat * finer

    def change(track: Track) -> Notes:
        onset = track.notes.onset * finer + rng.uniform(-most, most, len(track.notes))
        return _timed(track.notes, np.maximum(onset, 0), track.notes.duration * finer)

    return replace(_each(score, change), ticks_per_beat=score.ticks_per_beat * finer)


def cut(score: Score, rng: Rng) -> Score | None:
    """Without its first and last four beats; None for short pieces."""
    bar, end = BAR_BEATS * score.ticks_per_beat, score.end_tick
    if end < LONG_BEATS * score.ticks_per_beat:
        return None
    inner = _each(score, lambda track: track.notes.take((track.notes.onset >= bar) & (track.notes.onset < end - bar)))
    return inner if inner.note_count else None


def merged(score: Score, rng: Rng) -> Score | None:
    """All pitched tracks in one; None if there is only one."""
    pitched = _pitched(score)
    return replace(score, tracks=(Track(joined([t.notes for t in pitched]).ordered()),)) if len(pitched) > 1 else None


def without_lowest(score: Score, rng: Rng) -> Score | None:
    """Without the track that lies lowest; None if there is only one."""
    pitched = _pitched(score)
    lowest = min(pitched, key=lambda track: track.notes.pitch.mean(), default=None)
    return replace(score, tracks=tuple(t for t in score.tracks if t is not lowest)) if len(pitched) > 1 else None


def without_middle(score: Score, rng: Rng) -> Score | None:
    """Without the track that lies in the middle; None if there are only two."""
    pitched = sorted(_pitched(score), key=lambda track: track.notes.pitch.mean())
    if len(pitched) <= 2:
        return None
    return replace(score, tracks=tuple(t for t in score.tracks if t is not pitched[len(pitched) // 2]))


def reordered(score: Score, rng: Rng) -> Score:
    """Tracks in another order and of other programs."""
    tracks = [replace(track, program=int(rng.integers(128))) for track in score.tracks]
    return replace(score, tracks=tuple(tracks[at] for at in rng.permutation(len(tracks))))


def combined(score: Score, rng: Rng) -> Score:
    """Transposed, stretched, jittered, of other velocities, programs and track order."""
    return reordered(jittered(with_velocities(stretched(transposed(score, rng) or score, rng), rng), rng), rng)


CHANGES: dict[str, Change] = {
    "transposed by 1 to 6": transposed,
    "stretched 0.8 to 1.25": stretched,
    "other velocities": with_velocities,
    "other programs, order": reordered,
    "jittered 10 ms": jittered,
    "jittered 20 ms": lambda score, rng: jittered(score, rng, milliseconds=2 * JITTER_MS),
    "first, last bar cut": cut,
    "tracks merged": merged,
    "lowest track missing": without_lowest,
    "middle track missing": without_middle,
    "all at once, 10 ms": combined,
}
"""The last is the first five together."""


def _pitched(score: Score) -> list[Track]:
    return [track for track in score.tracks if len(track.notes) and not track.is_drum]


def _each(score: Score, change: Callable[[Track], Notes]) -> Score:
    return replace(score, tracks=tuple(replace(track, notes=change(track)) for track in score.tracks))


def _with(notes: Notes, **columns: Any) -> Notes:
    return replace(notes, **columns).ordered()


def _timed(notes: Notes, onset: Any, duration: Any) -> Notes:
    return _with(notes, onset=np.rint(onset).astype(np.int64), duration=np.rint(duration).astype(np.int64))


def load(folder: Path, most: int) -> dict[Path, Score]:
    """The pieces of a folder, evenly spread if there are more."""
    paths = sorted(path for path in folder.rglob("*.mid"))
    paths = paths[:: max(len(paths) // most, 1)][:most] if most else paths
    scores = {}
    for path in paths:
        try:
            scores[path] = load_score(path).score
        except Rejected:
            continue
    return scores


def alike_before(scores: Sequence[Score]) -> list[int]:
    """For each piece the first that it is alike with, by exact sets of 10-grams, chained."""
    grams = [_long_grams(score) for score in scores]
    holders = defaultdict(list)
    for number, one in enumerate(grams):
        for gram in one:
            holders[gram].append(number)
    shared = Counter((a, b) for numbers in holders.values() for at, b in enumerate(numbers) for a in numbers[:at])
    first = list(range(len(scores)))
    for (a, b), count in shared.items():
        if count >= SHARED_GRAMS * min(len(grams[a]), len(grams[b])):
            old, new = sorted((first[a], first[b]), reverse=True)
            first = [new if one == old else one for one in first]
    return first


def _long_grams(score: Score) -> set[tuple[int, ...]]:
    pitched = _pitched(score)
    top: dict[int, int] = {}
    for track in pitched:
        for onset, pitch in zip(track.notes.onset.tolist(), track.notes.pitch.tolist(), strict=True):
            top[onset] = max(top.get(onset, 0), pitch)
    if pitched:
        line = np.diff([pitch for _, pitch in sorted(top.items())]).tolist()
    else:
        notes = joined([track.notes for track in score.tracks] or [Notes()]).ordered()
        line = notes.pitch.tolist()
    return {tuple(line[at : at + GRAM]) for at in range(len(line) - GRAM + 1)}


def prints_of(scores: Sequence[Score]) -> Prints:
    """(pieces, FINGERPRINT_SIZE)."""
    return np.array([fingerprint(score) for score in scores], np.uint32).reshape(-1, FINGERPRINT_SIZE)


def precision(groups: Prints, sources: Prints) -> float:
    """Share of pairs in one group that are of one source."""
    pairs = _pairs(groups)
    return _pairs(groups * (sources.max() + 1) + sources) / pairs if pairs else 1.0


def _pairs(labels: Prints) -> int:
    counts = np.unique(labels, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def found_copies(scores: Sequence[Score], alike: Sequence[int], threshold: float) -> dict[str, dict[str, float]]:
    """Recall and precision for every change, and of all copies of all changes together."""
    originals = prints_of(scores)
    sources = np.arange(len(scores))
    every, every_source = [originals], [sources]
    table = {}
    for number, (name, change) in enumerate(CHANGES.items()):
        copies = [change(score, np.random.default_rng((number, at))) for at, score in enumerate(scores)]
        of = np.array([at for at, copy in enumerate(copies) if copy is not None], np.int64)
        prints = prints_of([copy for copy in copies if copy is not None])
        table[name] = _figures([originals, prints], [sources, of], alike, threshold)
        every.append(prints)
        every_source.append(of)
    table["all copies together"] = _figures(every, every_source, alike, threshold)
    return table


def _figures(
    prints: Sequence[Prints], sources: Sequence[Prints], alike: Sequence[int], threshold: float
) -> dict[str, float]:
    groups, of = group(np.concatenate(prints), threshold=threshold), np.concatenate(sources)
    copies = np.arange(len(prints[0]), len(of))
    is_found = groups[copies] == groups[of[copies]]
    return {
        "copies": len(copies),
        "recall": float(is_found.mean()) if len(copies) else 1.0,
        "precision": precision(groups, np.array(alike)[of]),
        "strict": precision(groups, of),
        "largest_group": int(np.bincount(groups).max()),
    }


def found_versions(
    scores: dict[Path, Score], folder: str, versions: dict[Path, Score], threshold: float
) -> dict[str, float]:
    """How many songs are in one group with their other version, and how many of these groups hold one song only."""
    paths = list(scores)
    place = {(path.parent.name, path.stem): at for at, path in enumerate(paths)}
    songs = [place.get((folder, path.stem.removesuffix("_cl")), -1) for path in versions]
    known = [(song, score) for song, score in zip(songs, versions.values(), strict=True) if song >= 0]
    of = np.array([song for song, _ in known], np.int64)
    prints = np.concatenate([prints_of(list(scores.values())), prints_of([score for _, score in known])])
    groups = group(prints, threshold=threshold)
    sources = np.concatenate([np.arange(len(paths)), of])
    held = [np.unique(sources[groups == one]) for one in np.unique(groups[len(paths) :])]
    return {
        "songs": len(known),
        "recall": float((groups[len(paths) :] == groups[of]).mean()),
        "groups": len(held),
        "precision": float(np.mean([len(one) == 1 for one in held])),
        "least_similarity": min(similarity(prints[len(paths) + at], prints[song]) for at, song in enumerate(of)),
    }


def beside_datasketch(scores: Sequence[Score], threshold: float) -> dict[str, float]:
    """Time and agreement on the same n-grams of all pieces and their copies with all changes."""
    from datasketch import MinHash, MinHashLSH

    copies = [combined(score, np.random.default_rng(at)) for at, score in enumerate(scores)]
    grams = [n_grams(score) for score in (*scores, *copies)]
    start = time.process_time()
    prints = np.array([min_hash(one) for one in grams])
    hashed = time.process_time()
    ours = group(prints, threshold=threshold)
    grouped = time.process_time()
    values = [np.unique(one).astype("<i8") for one in grams]
    sketches = [MinHash(num_perm=FINGERPRINT_SIZE) for _ in values]
    for sketch, value in zip(sketches, values, strict=True):
        sketch.update_batch([one.tobytes() for one in value])
    sketched = time.process_time()
    index = MinHashLSH(threshold=threshold, num_perm=FINGERPRINT_SIZE)
    for number, sketch in enumerate(sketches):
        index.insert(number, sketch)
    candidates = [index.query(sketch) for sketch in sketches]
    theirs_near = {
        (a, b)
        for a, found in enumerate(candidates)
        for b in found
        if a < b and sketches[a].jaccard(sketches[b]) >= threshold
    }
    looked_up = time.process_time()
    return {
        "pieces": len(grams),
        "us_per_piece": (hashed - start) / len(grams) * 1e6,
        "datasketch_us_per_piece": (sketched - grouped) / len(grams) * 1e6,
        "group_seconds": grouped - hashed,
        "datasketch_lookup_seconds": looked_up - sketched,
        **_agreement(values, prints, sketches, ours, theirs_near),
    }


def _agreement(
    values: list[Any], prints: Prints, sketches: list[Any], ours: Prints, theirs: set[Any]
) -> dict[str, float]:
    """Errors of both estimates for every piece with its copy, and how many of those pairs both find or both do not."""
    half = len(values) // 2
    pairs = [
        (at, at + half)
        for at in range(half)
        if len(values[at]) >= MIN_FILLED and (prints[[at, at + half], 0] != prints.max()).all()
    ]
    exact = np.array([_jaccard(values[a], values[b]) for a, b in pairs])
    estimate = np.array([similarity(prints[a], prints[b]) for a, b in pairs])
    theirs_estimate = np.array([sketches[a].jaccard(sketches[b]) for a, b in pairs])
    return {
        "error": float(np.sqrt(np.mean((estimate - exact) ** 2))),
        "datasketch_error": float(np.sqrt(np.mean((theirs_estimate - exact) ** 2))),
        "same_verdict": float(np.mean([(ours[a] == ours[b]) == ((a, b) in theirs) for a, b in pairs])),
    }


def _jaccard(a: Any, b: Any) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def microseconds(scores: Sequence[Score], repeats: int = 5) -> float:
    """Least CPU time of a fingerprint over the repeats, averaged over the pieces."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        prints_of(scores)
        best = min(best, time.process_time() - start)
    return best / max(len(scores), 1) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of MIDI files")
    parser.add_argument("--clean", type=Path, help="folder of other versions, NAME_cl.mid")
    parser.add_argument("--files", type=int, default=0, help="take so many, evenly spread; 0: all")
    parser.add_argument("--threshold", type=float, default=DEFAULT_SIMILARITY)
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    found = load(options.folder, options.files)
    scores = list(found.values())
    alike = alike_before(scores)
    thousand = [score for score in scores if 900 <= score.note_count <= 1100]
    figures: dict[str, Any] = {
        "files": len(scores),
        "threshold": options.threshold,
        "too_short": int((prints_of(scores) == np.iinfo(np.uint32).max).all(axis=1).sum()),
        "alike_before": len(scores) - len(set(alike)),
        "us_per_file": microseconds(scores),
        "us_per_1000_notes": microseconds(thousand),
        "copies": found_copies(scores, alike, options.threshold),
        "datasketch": beside_datasketch(scores, options.threshold),
    }
    if options.clean:
        versions = {path: load_score(path).score for path in sorted(options.clean.rglob("*_cl.mid"))}
        figures["versions"] = found_versions(found, options.clean.name, versions, options.threshold)
    report(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def report(figures: dict[str, Any]) -> None:
    """Print the tables."""
    for name, figure in figures.items():
        if not isinstance(figure, dict):
            print(f"{name:24}{figure:>10,.4g}")
    print(f"\n{'':24}{'copies':>8}{'recall':>9}{'precision':>11}{'strict':>9}{'largest':>9}")
    for name, row in figures["copies"].items():
        missed = [goal for goal, least in GOALS.items() if row[goal] < least]
        shares = f"{row['recall']:>9.3f}{row['precision']:>11.3f}{row['strict']:>9.3f}{row['largest_group']:>9}"
        print(f"{name:24}{row['copies']:>8}{shares}" + (f"   missed: {', '.join(missed)}" if missed else ""))
    for title in ("versions", "datasketch"):
        for name, figure in figures.get(title, {}).items():
            print(f"{title} {name:34}{figure:>10,.4g}")


if __name__ == "__main__":
    main()
