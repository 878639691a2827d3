import hashlib
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import scores
from tests.support.tunes import accompaniment, drums, melody, tune

from aurl.data.fingerprint import (
    FINGERPRINT_SIZE,
    FINGERPRINT_VERSION,
    MIN_FILLED,
    NO_NUMBER,
    fingerprint,
    min_hash,
    n_grams,
)
from aurl.data.near_duplicates import DEFAULT_SIMILARITY, similarity
from aurl.midi.score import Notes, Score, Tempos, Track, joined

SEEDS = st.integers(0, 10_000)
UNRELATED = 0.1


def changed(score, **columns):
    """The score with a function applied to columns of the notes of every track."""
    return score.map_notes(
        lambda notes: replace(notes, **{name: f(getattr(notes, name)) for name, f in columns.items()}).ordered()
    )


def pitched(score):
    return replace(score, tracks=tuple(track for track in score.tracks if not track.is_drum))


def same(one, other):
    return np.array_equal(fingerprint(one), fingerprint(other)) and fingerprint(one)[0] != NO_NUMBER


def near(one, other):
    return similarity(fingerprint(one), fingerprint(other))


# --- an independent reference: sets of tuples, note by note -----------------------------------------------------------


def reference_onsets(notes, ticks_per_beat):
    """[(onset, pitches)], notes nearer than a twelfth of a beat to the one before together."""
    result, last = [], None
    for onset, pitch in sorted(notes):
        if last is None or Fraction(onset - last, ticks_per_beat) >= Fraction(1, 12):
            result.append((onset, []))
        result[-1][1].append(pitch)
        last = onset
    return result


def reference_line(notes, ticks_per_beat):
    line = [(onset, max(pitches)) for onset, pitches in reference_onsets(notes, ticks_per_beat)]
    times = [b[0] - a[0] for a, b in pairwise(line)]
    steps = [b[1] - a[1] for a, b in pairwise(line)]
    tokens = [
        (step, (Fraction(after, before) > Fraction(7, 5)) - (Fraction(before, after) > Fraction(7, 5)))
        for step, (before, after) in zip(steps[1:], pairwise(times), strict=True)
    ]
    return {tuple(tokens[at : at + 4]) for at in range(len(tokens) - 3)}


def reference(score):
    sounding = [track for track in score.tracks if len(track.notes)]
    tracks = [track for track in sounding if not track.is_drum] or sounding
    notes = [list(zip(t.notes.onset.tolist(), t.notes.pitch.tolist(), strict=True)) for t in tracks]
    everything = [note for track in notes for note in track]
    if tracks and tracks[0].is_drum:
        hits = [
            (pitch, at == 0 and number > 0)
            for number, (_, pitches) in enumerate(reference_onsets(everything, score.ticks_per_beat))
            for at, pitch in enumerate(sorted(pitches))
        ]
        return {tuple(hits[at : at + 7]) for at in range(len(hits) - 6)}
    fair = [track for track in notes if len(track) >= max(map(len, notes)) // 10]
    highest = sorted(fair, key=lambda track: (128 * sum(pitch for _, pitch in track) // len(track), len(track)))[1:][
        -2:
    ]
    return set().union(*(reference_line(line, score.ticks_per_beat) for line in [everything, *highest]))


@settings(deadline=None)
@given(scores(max_notes=30))
def test_n_grams_are_those_of_a_plain_reading(score):
    assert len(np.unique(n_grams(score))) == len(reference(score))


@given(SEEDS, st.sampled_from(["both", "drums", "melody"]))
@settings(deadline=None, max_examples=20)
def test_n_grams_of_tunes_are_those_of_a_plain_reading(seed, what):
    tracks = {"both": tune(seed).tracks, "drums": (drums(seed),), "melody": (melody(seed),)}[what]
    score = Score(ticks_per_beat=480, tracks=tracks)
    assert len(np.unique(n_grams(score))) == len(reference(score)) > MIN_FILLED


# --- what changes nothing ---------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(-30, 30))
@settings(deadline=None, max_examples=30)
def test_transposition_changes_nothing(seed, by):
    score = pitched(tune(seed))
    assert same(score, changed(score, pitch=lambda pitch: pitch.astype(np.int64) + by))


@given(SEEDS, st.integers(1, 50))
@settings(deadline=None, max_examples=30)
def test_resolution_changes_nothing(seed, by):
    for tracks in (tune(seed).tracks, (drums(seed),)):
        score = Score(ticks_per_beat=480, tracks=tracks)
        finer = changed(score, onset=lambda onset: onset * by, duration=lambda duration: duration * by)
        assert same(score, replace(finer, ticks_per_beat=480 * by))


@given(SEEDS, st.integers(1, 8))
@settings(deadline=None, max_examples=20)
def test_longer_ticks_change_nothing(seed, by):
    score = tune(seed)
    assert same(score, changed(score, onset=lambda onset: onset * by))


@given(SEEDS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_velocities_programs_track_order_tempo_drums_change_nothing(seed, random):
    score = tune(seed)
    other = changed(score, velocity=lambda velocity: velocity // 2 + 1, duration=lambda duration: duration // 2)
    tracks = [replace(track, program=0 if track.is_drum else random.randrange(128)) for track in other.tracks[:2]]
    random.shuffle(tracks)
    assert same(score, replace(other, tracks=tuple(tracks), tempos=Tempos([0, 960], [400_000, 900_000])))


def test_an_empty_track_and_one_of_few_notes_change_little():
    score = tune(1)
    assert same(score, replace(score, tracks=(Track(), *score.tracks)))
    piccolo = Track(Notes([0, 480], [240, 240], [120, 121], [90, 90]))
    assert near(score, replace(score, tracks=(piccolo, *score.tracks))) > 0.9


# --- what changes little ----------------------------------------------------------------------------------------------


def jittered(score, rng, ticks):
    return changed(score, onset=lambda onset: np.maximum(onset + rng.integers(-ticks, ticks + 1, len(onset)), 0))


def cut(score, ticks):
    return score.map_notes(lambda notes: notes.take((notes.onset >= ticks) & (notes.onset < score.end_tick - ticks)))


def repeated(score):
    length = score.end_tick // 1920 * 1920 + 1920
    return score.map_notes(lambda notes: joined([notes, replace(notes, onset=notes.onset + length)]))


def merged(score):
    return replace(score, tracks=(Track(joined([track.notes for track in pitched(score).tracks]).ordered()),))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda score: jittered(score, np.random.default_rng(0), 10), 0.8),
        (lambda score: cut(score, 1920), 0.8),
        (repeated, 0.9),
        (merged, DEFAULT_SIMILARITY),
        (lambda score: replace(score, tracks=score.tracks[:1]), DEFAULT_SIMILARITY),
        (lambda score: changed(score, onset=lambda onset: onset * 0.9), 0.8),
    ],
    ids=["jittered", "cut", "repeated", "merged", "without accompaniment", "faster"],
)
def test_the_same_piece_stays_near(seed, change, least):
    score = tune(seed)
    assert near(score, change(score)) >= least


@pytest.mark.parametrize("seed", range(5))
def test_drums_alone_are_told_apart_by_their_pitches(seed):
    score = Score(ticks_per_beat=480, tracks=(drums(seed),))
    assert near(score, jittered(score, np.random.default_rng(0), 10)) >= 0.8
    assert near(score, changed(score, pitch=lambda pitch: pitch + 1)) < UNRELATED


def test_other_pieces_are_far():
    prints = [fingerprint(tune(seed)) for seed in range(40)]
    assert max(similarity(a, b) for at, a in enumerate(prints) for b in prints[:at]) < UNRELATED
    assert similarity(prints[0], fingerprint(Score(tracks=(drums(0),)))) < UNRELATED


# --- MinHash ----------------------------------------------------------------------------------------------------------


def jaccard(a, b):
    return len(np.intersect1d(a, b)) / len(np.union1d(a, b))


@pytest.mark.parametrize("size", [30, 300, 3000])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_estimate_has_the_error_of_min_hash(size, share):
    rng = np.random.default_rng(size)
    errors, exact = [], []
    for _ in range(200):
        a, b = rng.choice(2**40, (2, size), replace=False)
        b[: int(share * size)] = a[: int(share * size)]
        exact.append(jaccard(a, b))
        errors.append(similarity(min_hash(a), min_hash(rng.permutation(b))) - exact[-1])
    # Fewer elements than numbers: only so many draws are independent.
    deviation = np.sqrt(np.mean(exact) * (1 - np.mean(exact)) / min(FINGERPRINT_SIZE, size))
    assert abs(np.mean(errors)) < 4 * deviation / np.sqrt(len(errors))
    assert np.std(errors) < 1.25 * deviation


def test_the_estimate_fits_pieces_that_have_notes_in_common():
    for seed in range(20):
        one, other = melody(seed), melody(seed + 1000)
        both = Score(ticks_per_beat=480, tracks=(one,)), Score(ticks_per_beat=480, tracks=(_after(one, other),))
        a, b = (np.unique(n_grams(score)) for score in both)
        assert 0.2 < jaccard(a, b) < 0.8
        assert similarity(*(fingerprint(score) for score in both)) == pytest.approx(jaccard(a, b), abs=0.18)


def _after(one, other):
    end = int(one.notes.offset.max())
    return Track(joined([one.notes, replace(other.notes, onset=other.notes.onset + end)]))


def test_numbers_given_twice_count_once():
    grams = np.arange(100)
    assert np.array_equal(min_hash(grams), min_hash(np.repeat(grams, 3)[::-1]))


# --- too little to say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tracks",
    [
        (),
        (Track(),),
        (melody(1, notes=5),),
        (drums(1, hits=3),),
        (melody(1, notes=3), accompaniment(1, chords=1)),
        (Track(Notes(np.arange(200) * 480, np.full(200, 480), np.full(200, 60), np.full(200, 80))),),
        (Track(Notes(np.zeros(50), np.ones(50), np.arange(50), np.full(50, 80))),),
    ],
    ids=["no track", "no note", "five notes", "three hits", "two tracks", "one note again and again", "one chord"],
)
def test_a_piece_with_too_little_is_near_nothing(tracks):
    found = fingerprint(Score(ticks_per_beat=480, tracks=tracks))
    assert found.shape == (FINGERPRINT_SIZE,)
    assert found.dtype == np.uint32
    assert (found == NO_NUMBER).all()
    assert similarity(found, found) == 0


@given(scores(max_notes=40))
@settings(deadline=None)
def test_all_numbers_or_none(score):
    found = fingerprint(score)
    assert (found == NO_NUMBER).all() or (found != NO_NUMBER).all()


def test_extremes_of_pitch_and_time():
    rng = np.random.default_rng(0)
    onset = np.sort(rng.integers(0, 2**31, 200))
    notes = Notes(onset, np.ones(200), rng.choice([0, 64, 127], 200), np.full(200, 1))
    score = Score(ticks_per_beat=1, tracks=(Track(notes),))
    assert len(np.unique(n_grams(score))) == len(reference(score)) > MIN_FILLED


def digest(numbers):
    return hashlib.sha256(numbers.astype("<u4").tobytes()).hexdigest()[:32]


def test_a_fingerprint_is_the_same_everywhere():
    """The values are part of what data sets store: whoever changes them raises FINGERPRINT_VERSION."""
    assert FINGERPRINT_VERSION == 1
    grams = np.arange(1000, dtype=np.int64) ** 3
    assert digest(min_hash(grams)) == "91cfd3b30a53606092c34c00c79c1d85"
    assert digest(min_hash(grams[:20])) == "61acaaf660657fb1989931fbc9e4395b"
    steps = np.arange(100) * (np.arange(100) * 7 + 1) % 23
    onset = np.arange(100) * 240 + 120 * steps // 23
    tracks = [Track(Notes(onset, np.full(100, 100), base + steps, np.full(100, 80))) for base in (40, 60)]
    found = fingerprint(Score(ticks_per_beat=480, tracks=tuple(tracks)))
    assert digest(found) == "8d8da4ae9bb18707a9a51c23761f9957"
