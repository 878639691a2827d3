import math

import numpy as np
import pytest
from hypothesis import given
from tests.support.scores import score, scores, track

from aurl.data.complexity import texture_of


def test_nothing_is_plain():
    assert texture_of(score()) == (0.0, 0.0)


def test_one_repeated_note():
    """Only its density counts: four quarter notes in four beats."""
    texture = texture_of(score(track(*((32 * beat, 32, 60, 64) for beat in range(4)))))
    assert texture.polyphony == 1.0
    assert texture.complexity == pytest.approx((1 - math.exp(-1 / 4)) / 5, abs=1e-4)


def test_worked_by_hand():
    """Two voices over two beats, then a rest of a beat, then a note of one beat."""
    upper = [(0, 16, 72, 64), (16, 16, 74, 64), (32, 32, 76, 64), (96, 32, 74, 64)]
    lower = [(0, 64, 60, 64)]
    texture = texture_of(score(track(*upper), track(*lower)))
    assert texture.polyphony == round((16 + 16 + 32 + 32 + 64) / 96, 3)
    density = 1 - math.exp(-5 / 4 / 4)
    pitch = entropy(2, 2, 1) / math.log2(12)  # C twice, D twice, E once
    melody = entropy(2, 1) / math.log2(25)  # +2, +2, -2
    rhythm = entropy(2, 1) / math.log2(48)  # half a beat twice, two beats once
    polyphony = 1 - 96 / 160
    assert texture.complexity == pytest.approx((density + polyphony + pitch + melody + rhythm) / 5, abs=1e-4)


def test_drums_have_no_pitch():
    hits = [(8 * place, 4, 36 + place % 5, 64) for place in range(16)]
    drums = texture_of(score(track(*hits, is_drum=True)))
    assert drums.polyphony == 0.0
    assert drums.complexity == pytest.approx((1 - math.exp(-16 / (124 / 32) / 4)) / 5, abs=1e-4)


def test_a_study_is_more_intricate_than_a_scale():
    rng = np.random.default_rng(0)
    scale = [(16 * place, 16, 60 + place % 12, 64) for place in range(64)]
    onsets = np.cumsum(rng.choice([4, 8, 12, 16], 200))
    study = [(int(on), 40, int(pitch), 64) for on, pitch in zip(onsets, rng.integers(30, 90, 200), strict=True)]
    assert texture_of(score(track(*study))).complexity > 2 * texture_of(score(track(*scale))).complexity


@given(scores())
def test_any_score_lies_between_0_and_1(piece):
    polyphony, complexity = texture_of(piece)
    assert 0 <= complexity <= 1
    assert polyphony >= 0
    if piece.note_count:
        begin = min(int(one.notes.onset.min()) for one in piece.tracks if len(one.notes))
        end = max(int(one.notes.offset.max()) for one in piece.tracks if len(one.notes))
        beats = max((end - begin) / piece.ticks_per_beat, 1)
        assert complexity >= (1 - math.exp(-piece.note_count / beats / 4)) / 5 - 1e-4, "its density alone"


def entropy(*counts):
    total = sum(counts)
    return -sum(count / total * math.log2(count / total) for count in counts)
