import math

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.evaluation.structure import LAGS, bar_similarities, bar_similarity, drift

BEAT, BAR = 32, 128


def test_bars_are_compared_by_pitch_classes_and_onsets():
    piece = score(
        track(
            *((0, BEAT, 60, 64), (BEAT, BEAT, 64, 64)),
            *((BAR, BEAT, 72, 64), (BAR + BEAT, BEAT, 76, 64)),  # the same an octave higher
            *((2 * BAR, BEAT, 60, 64), (2 * BAR + 3 * BEAT, BEAT, 67, 64)),
        )
    )
    # Bars 1 and 3 share C (cosine ½) and one of three onsets.
    assert bar_similarities(piece) == pytest.approx(np.array([[1, 1, 5 / 12], [1, 1, 5 / 12], [5 / 12, 5 / 12, 1]]))
    assert bar_similarity(piece, (1, 2)) == pytest.approx([(1 + 5 / 12) / 2, 5 / 12])
    assert math.isnan(bar_similarity(piece, (3,))[0])


def test_empty_bars_are_left_out():
    piece = score(track((0, BEAT, 60, 64), (2 * BAR, BEAT, 60, 64)))
    assert math.isnan(bar_similarity(piece, (1,))[0])
    assert bar_similarity(piece, (2,)) == 1


def test_drums_are_rhythm_only():
    piece = score(track((0, BEAT, 60, 64), (BAR, BEAT, 60, 64)), track((BEAT, 1, 36, 64), is_drum=True))
    assert bar_similarity(piece, (1,)) == pytest.approx((1 + 1 / 2) / 2)


def test_without_notes_nothing_is_similar_and_nothing_drifts():
    assert np.isnan(bar_similarity(score())).tolist() == [True] * len(LAGS)
    assert all(math.isnan(value) for value in drift(score()))


def test_drift_is_what_the_last_third_has_more_of():
    chord = [(2 * BAR + n * BEAT, BEAT, pitch, 64) for n in range(4) for pitch in (67, 71)]
    piece = score(track((0, 2 * BEAT, 60, 64), (2 * BEAT, 2 * BEAT, 64, 64), (BAR, BAR, 62, 64), *chord))
    found = drift(piece)
    assert found.density == 8 / 4 - 2 / 4
    assert found.polyphony == 1
    assert found.register == 69 - 62
    assert found.harmony == 1
    held = drift(score(track((0, BAR, 60, 64), (BAR, BAR, 62, 64), (2 * BAR, BAR, 72, 64))))
    assert held == (0, 0, 12, 0)
