import math

import numpy as np
import pytest
from hypothesis import given, settings
from tests.support.scores import score, scores, track

from aurl.evaluation.metrics import (
    METRICS,
    empty_beat_rate,
    groove_consistency,
    note_density,
    pitch_class_entropy,
    polyphony,
)
from aurl.midi.score import Score, TimeSignatures

BEAT, BAR = 32, 128
METERS = TimeSignatures([0, 2 * BAR], [4, 3], [4, 4])


@pytest.mark.parametrize("metric", METRICS.values())
@pytest.mark.parametrize("silent", [score(), score(track()), score(track(), track(is_drum=True))])
def test_nothing_to_measure_is_not_a_number(metric, silent):
    assert math.isnan(metric(silent))


@pytest.mark.parametrize(
    ("pitches", "bits"),
    [([60, 72, 48], 0), ([60, 61], 1), (range(40, 52), math.log2(12)), ([0, 0, 1, 2], 1.5)],
)
def test_pitch_class_entropy(pitches, bits):
    piece = score(track(*[(8 * n, 8, pitch, 64) for n, pitch in enumerate(pitches)]))
    assert pitch_class_entropy(piece) == pytest.approx(bits, abs=1e-12)
    assert math.copysign(1, pitch_class_entropy(piece)) == 1


def test_drums_are_no_pitches():
    piece = score(track((0, BEAT, 60, 64)), track((0, BEAT, 36, 64), (BEAT, BEAT, 38, 64), is_drum=True))
    assert pitch_class_entropy(piece) == 0
    assert polyphony(piece) == 1


def test_note_density_is_onsets_per_beat():
    # Three onsets in the four beats from tick 0 to the end of the last note, though the first comes late.
    piece = score(track((BEAT, BEAT, 60, 64), (3 * BEAT, BEAT, 60, 64)), track((BEAT, 1, 36, 64), is_drum=True))
    assert note_density(piece) == 0.75


def test_polyphony_is_the_mean_over_what_sounds():
    # Two pitches for 2 beats, one for 2, silence for 2, three for 1: (4 + 2 + 3) / 5.
    rows = [(0, 4, 60), (0, 2, 64), (6, 1, 60), (6, 1, 64), (6, 1, 67)]
    assert polyphony(score(track(*[(BEAT * on, BEAT * long, pitch, 64) for on, long, pitch in rows]))) == 9 / 5


def test_one_pitch_in_two_tracks_is_one_pitch():
    assert polyphony(score(track((0, 10, 60, 64)), track((5, 10, 60, 64)))) == 1


@pytest.mark.parametrize(
    ("onsets", "expected"),
    [
        ([0, BAR], 1.0),  # the same place in both bars
        ([0, BAR + BEAT], 1 - 2 / 64),  # two of 64 positions differ
        ([0, 1, BAR], 1.0),  # what is closer than a sixteenth of a beat is one position
        ([0, BEAT, BAR, 2 * BAR + BEAT], 1 - (1 + 2) / 2 / 64),
        ([0, 3 * BAR], 1 - (1 + 0 + 1) / 3 / 64),  # silent bars are bars
    ],
)
def test_groove_consistency(onsets, expected):
    assert groove_consistency(score(track(*[(on, 1, 60, 64) for on in onsets]))) == pytest.approx(expected)


def test_only_bars_of_equal_length_are_compared():
    onsets = [0, BAR, 2 * BAR, 2 * BAR + 96 + BEAT]  # 4/4, 4/4, 3/4, 3/4
    piece = score(track(*[(on, 1, 60, 64) for on in onsets]), time_signatures=METERS)
    assert groove_consistency(piece) == pytest.approx((1 + (1 - 2 / 48)) / 2)


def test_one_bar_has_no_groove():
    assert math.isnan(groove_consistency(score(track((0, BAR, 60, 64)))))


def test_empty_beat_rate():
    # Sounding: beats 0 and 1 (ends where 2 begins), and 4; a note without length is in 4, too.
    assert empty_beat_rate(score(track((5, 2 * BEAT - 5, 60, 64), (4 * BEAT, 0, 61, 64)))) == 2 / 5


@settings(max_examples=50, deadline=None)
@given(scores())
def test_ranges_hold_for_any_score(piece):
    bounds = {
        "pitch_class_entropy": (0, math.log2(12) + 1e-9),
        "note_density": (0, math.inf),
        "polyphony": (1, 128),
        "groove_consistency": (0, 1),
        "empty_beat_rate": (0, 1),
    }
    for name, metric in METRICS.items():
        value = metric(piece)
        assert math.isnan(value) or bounds[name][0] <= value <= bounds[name][1], name


def random_piece(seed: int) -> Score:
    """Notes that end inside beats and bars, where MusPy counts what this does."""
    rng = np.random.default_rng(seed)
    onset = np.sort(rng.integers(0, 40 * 8, 60)) * 4
    long = rng.integers(0, 40, 60) * 4 + 2
    rows = list(zip(onset, long, rng.integers(50, 70, 60), [64] * 60, strict=True))
    # The last note ends in the bar in which it begins.
    last = (41 * BAR, 2, 60, 64)
    return score(track(*rows[::2]), track(*rows[1::2], last))


@pytest.mark.parametrize("seed", range(5))
def test_muspy_agrees(seed):
    muspy = pytest.importorskip("muspy")
    piece = random_piece(seed)
    # MusPy's groove has a position for every tick: it is given the sixteenths of beats that ours has.
    fine, coarse = (
        muspy.Music(
            resolution=BEAT // ticks,
            tracks=[
                muspy.Track(
                    notes=[
                        muspy.Note(time=int(on) // ticks, duration=int(long) // ticks, pitch=int(pitch))
                        for on, long, pitch in zip(part.notes.onset, part.notes.duration, part.notes.pitch, strict=True)
                    ]
                )
                for part in piece.tracks
            ],
        )
        for ticks in (1, 2)
    )
    assert pitch_class_entropy(piece) == pytest.approx(muspy.pitch_class_entropy(fine))
    assert polyphony(piece) == pytest.approx(muspy.polyphony(fine))
    assert groove_consistency(piece) == pytest.approx(muspy.groove_consistency(coarse, 64))
    assert empty_beat_rate(piece) == pytest.approx(muspy.empty_beat_rate(fine))
