import pickle
from collections import Counter
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import score, scores, track

from aurl.midi.score import Controls, Notes, Score, Tempos, Text, Track
from aurl.preprocess import PREPROCESS

BEATS = {
    "1/4": Fraction(1),
    "1/8": Fraction(1, 2),
    "1/16": Fraction(1, 4),
    "1/32": Fraction(1, 8),
    "1/4t": Fraction(2, 3),
    "1/8t": Fraction(1, 3),
    "1/16t": Fraction(1, 6),
    "1/32t": Fraction(1, 12),
}


def rows(one):
    columns = (one.notes.onset, one.notes.duration, one.notes.pitch, one.notes.velocity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def quantized(piece, **options):
    return PREPROCESS.build("quantize", **options)(piece)


def test_onsets_and_ends_go_to_the_nearest_sixteenth():
    piece = score(track((0, 100, 60, 70), (119, 130, 62, 70), (361, 10, 64, 70)), ticks_per_beat=480)
    assert rows(quantized(piece).tracks[0]) == [(0, 120, 60, 70), (120, 120, 62, 70), (360, 120, 64, 70)]


def test_absolute_times_do_not_drift():
    piece = score(track(*((121 * i, 60, 60, 70) for i in range(1000))), ticks_per_beat=480)
    onsets = quantized(piece).tracks[0].notes.onset
    assert abs(int(onsets[-1]) - 121 * 999) <= 60


def test_half_strength_moves_half_way():
    piece = score(track((110, 200, 60, 70)), ticks_per_beat=480)
    assert rows(quantized(piece, strength=0.5).tracks[0]) == [(115, 220, 60, 70)]
    assert quantized(piece, strength=0.0) is piece


def test_notes_that_meet_become_one_and_others_are_cut():
    piece = score(track((0, 30, 60, 70), (40, 30, 60, 90), (100, 5, 60, 50), (130, 5, 61, 50)), ticks_per_beat=480)
    result = PREPROCESS.build("quantize").counted(piece)
    assert rows(result.score.tracks[0]) == [(0, 120, 60, 90), (120, 120, 60, 50), (120, 120, 61, 50)]
    assert result.repairs == {"quantize_merged": 1}
    overlapping = score(track((0, 480, 60, 70), (240, 240, 60, 70)), ticks_per_beat=480)
    assert PREPROCESS.build("quantize").counted(overlapping).repairs == {"quantize_cut": 1}


@given(scores(), st.sampled_from(sorted(BEATS)))
@settings(max_examples=150, deadline=None)
def test_every_note_is_on_the_grid_and_near_where_it_was(piece, grid):
    result = PREPROCESS.build("quantize", grid=grid).counted(piece)
    after = result.score
    step = BEATS[grid] * after.ticks_per_beat
    assert step.denominator == 1
    lost = 0
    for old, new in zip(piece.tracks, after.tracks, strict=True):
        expected = {}
        for onset, duration, pitch, velocity in rows(old):
            begin = _nearest(Fraction(onset, piece.ticks_per_beat) / BEATS[grid])
            end = max(_nearest(Fraction(onset + duration, piece.ticks_per_beat) / BEATS[grid]), begin + 1)
            latest, loudest = expected.get((begin, pitch), (0, 0))
            expected[begin, pitch] = max(latest, end), max(loudest, velocity)
        lost += len(rows(old)) - len(expected)
        found = {(onset / step, pitch): velocity for onset, _, pitch, velocity in rows(new)}
        assert found == {key: velocity for key, (_, velocity) in expected.items()}
        for onset, duration, pitch, _ in rows(new):
            later = [begin for begin, other in expected if other == pitch and begin > onset / step]
            assert (onset + duration) / step == min([expected[onset / step, pitch][0], *later])
    assert result.repairs.get("quantize_merged", 0) == lost


def _nearest(value):
    return floor(value + Fraction(1, 2))


@given(scores(), st.floats(0.01, 1), st.sampled_from(sorted(BEATS)))
@settings(max_examples=80, deadline=None)
def test_no_strength_makes_notes_of_a_pitch_overlap_or_vanish(piece, strength, grid):
    result = PREPROCESS.build("quantize", grid=grid, strength=strength).counted(piece)
    for one in result.score.tracks:
        until = Counter()
        for onset, duration, pitch, _ in rows(one):
            assert duration >= 1
            assert onset >= until[pitch]
            until[pitch] = onset + duration
    assert result.score.note_count + result.repairs.get("quantize_merged", 0) == piece.note_count


def test_a_grid_that_does_not_divide_the_beat_makes_all_ticks_finer():
    piece = Score(
        ticks_per_beat=100,
        tracks=(
            Track(
                Notes([100], [40], [60], [70]),
                controls=Controls([50], [64], [127]),
                lyrics=(Text(100, "la"),),
            ),
        ),
        tempos=Tempos([0, 30], [500_000, 400_000]),
        markers=(Text(7, "A"),),
    )
    after = quantized(piece, grid="1/8t")
    assert after.ticks_per_beat == 300
    assert rows(after.tracks[0]) == [(300, 100, 60, 70)]
    assert after.tempos.tick.tolist() == [0, 90]
    assert after.tracks[0].controls.tick.tolist() == [150]
    assert (after.tracks[0].lyrics, after.markers) == ((Text(300, "la"),), (Text(21, "A"),))


def test_ticks_never_get_finer_than_a_midi_file_can_say():
    piece = score(track((32_749, 100, 60, 70)), ticks_per_beat=32_749)
    after = quantized(piece, grid="1/16t")
    assert after.ticks_per_beat == 32_766
    assert rows(after.tracks[0]) == [(32_766, 32_766 // 6, 60, 70)]


def test_unknown_choices_are_refused_and_steps_can_be_sent_to_workers():
    for options in ({"grid": "1/5"}, {"grid": ["1/8", "1/5"]}, {"grid": []}, {"mode": "swing"}):
        with pytest.raises(ValueError, match="known"):
            PREPROCESS.build("quantize", **options)
    step = pickle.loads(pickle.dumps(PREPROCESS.build("quantize", grid="1/4")))
    assert rows(step(score(track((3, 1, 60, 70)), ticks_per_beat=4)).tracks[0]) == [(4, 4, 60, 70)]


def test_options_of_a_profile_have_types_and_bounds():
    options = {option.name: option.default for option in PREPROCESS.options("quantize")}
    assert options == {"grid": "1/16", "mode": "strict", "strength": 1.0, "tolerance": 0.04}
