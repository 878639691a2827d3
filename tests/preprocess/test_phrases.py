import numpy as np
import pytest
from tests.support.scores import notes, score, track

from aurl.preprocess.phrases import bar_strengths, boundary_strengths, melody


def line(onsets, pitches, lengths=None):
    ends = [*onsets[1:], onsets[-1] + 1]
    lengths = lengths or [end - onset for onset, end in zip(onsets, ends, strict=True)]
    return notes(*((o, n, p, 70) for o, n, p in zip(onsets, lengths, pitches, strict=True)))


def test_a_long_gap_is_a_boundary():
    # Intervals 1 1 3 1: changes 0, 1/2, 1/2; strengths 1·0, 1·1/2, 3·1, 1·1/2, scaled by 3 and weighted with 1/2.
    assert boundary_strengths(line([0, 1, 2, 5, 6], [60] * 5)).tolist() == pytest.approx([0, 1 / 12, 1 / 2, 1 / 12])


def test_a_leap_is_a_boundary():
    # Intervals 2 2 6 2 semitones: as above with the weight 1/4.
    assert boundary_strengths(line([0, 1, 2, 3, 4], [60, 62, 64, 70, 72])) == pytest.approx([0, 1 / 24, 1 / 4, 1 / 24])


def test_a_rest_is_a_boundary():
    # Rests 0 0 1 0 between equal onsets: changes 0, 1, 1; strengths 0, 0, 2, 0.
    assert boundary_strengths(line([0, 2, 4, 6, 8], [60] * 5, [2, 2, 1, 2, 2])) == pytest.approx([0, 0, 1 / 4, 0])


def test_few_notes_have_no_boundaries():
    assert [len(boundary_strengths(line(list(range(n)), [60] * n))) for n in (1, 2, 3)] == [0, 1, 2]
    assert boundary_strengths(line([0, 1, 2], [60] * 3)).tolist() == [0, 0]


def test_the_melody_is_on_top():
    piece = score(
        track((0, 8, 72, 70), (8, 8, 74, 70), (20, 4, 71, 70)),
        track((0, 8, 48, 70), (4, 8, 55, 70), (8, 8, 52, 70), (16, 8, 50, 70)),
        track((0, 2, 100, 70), (2, 2, 100, 70), is_drum=True),
    )
    found = melody(piece)
    assert list(zip(found.onset.tolist(), found.pitch.tolist(), strict=True)) == [(0, 72), (8, 74), (16, 50), (20, 71)]


def test_drums_stand_in_where_nothing_else_plays():
    assert melody(score(track((0, 2, 36, 70), (2, 2, 38, 70), is_drum=True), track())).pitch.tolist() == [36, 38]
    assert len(melody(score(track()))) == 0


def test_boundaries_count_for_the_nearest_bar_line():
    # The longest gap is before the note at 7, an upbeat to the bar line at 8: a quarter of a bar off.
    piece = score(track(*((o, 1, 60, 70) for o in (0, 1, 2, 3, 7, 8, 9, 10))), ticks_per_beat=1)
    strengths = bar_strengths(piece, np.array([0, 4, 8]))
    assert strengths.argmax() == 2
    assert strengths[2] == pytest.approx(0.75 * (1 / 2 + 1 / 4))
    assert bar_strengths(score(track((0, 1, 60, 70))), np.array([0])).tolist() == [0]
