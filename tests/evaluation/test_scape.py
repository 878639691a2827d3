import math

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.evaluation.scape import PENALTY, RATE, scape_plot, self_similarity, structureness

BEAT = 32
"""Half a second at 120 BPM."""
A, B = (60, 64, 67, 65, 69, 72, 62, 66, 69, 59, 62, 65), (61, 66, 70, 63, 68, 73, 64, 71, 75, 60, 65, 70)


def optimal(similarity, start, length):
    """Score, cells and rows of the best path family, by trying every way: Müller et al. 2013, section III."""
    count = len(similarity)
    part = similarity[:, start : start + length]

    def paths(row, column, worth, cells, begun):
        """All paths on from a cell to the end of the segment: (last row, score, cells, rows)."""
        if column == length - 1:
            yield row, worth, cells, row - begun + 1
        for down, right in ((1, 1), (1, 2), (2, 1)):
            if row + down < count and column + right < length:
                yield from paths(row + down, column + right, worth + part[row + down, column + right], cells + 1, begun)

    def best(row):
        if row >= count:
            return 0.0, 0, 0
        found = [best(row + 1)]
        for last, worth, cells, rows in paths(row, 0, part[row, 0], 1, row):
            later = best(last + 1)
            found.append((worth + later[0], cells + later[1], rows + later[2]))
        return max(found)

    return best(0)


def fitness(similarity, start, length):
    worth, cells, rows = optimal(similarity, start, length)
    gain, coverage = (worth - length) / cells, (rows - length) / len(similarity)
    return 2 * gain * coverage / (gain + coverage) if gain > 0 and coverage > 0 else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_fitness_is_that_of_trying_every_path_family(seed):
    rng = np.random.default_rng(seed)
    # Multiples of 2⁻¹⁶ are scored exactly, so that equal scores are equal here, too.
    similarity = rng.choice([PENALTY, *(np.arange(1, 65537) / 65536)], (7, 7), p=[0.5, *[0.5 / 65536] * 65536])
    np.fill_diagonal(similarity, 1.0)
    found = scape_plot(similarity)
    for length in range(1, 8):
        expected = [fitness(similarity, start, length) for start in range(8 - length)]
        assert found[length - 1] == pytest.approx(expected + [0.0] * (length - 1))


def test_a_segment_that_comes_back_once():
    # Cells 0–1 return as 3–4 of five: score 4, less 2 of itself, over 4 cells; 4 − 2 of 5 rows are covered.
    similarity = np.full((5, 5), PENALTY)
    np.fill_diagonal(similarity, 1.0)
    for one, other in ((0, 3), (1, 4)):
        similarity[one, other] = similarity[other, one] = 1.0
    gain, coverage = 2 / 4, 2 / 5
    assert scape_plot(similarity)[1, 0] == pytest.approx(2 * gain * coverage / (gain + coverage))
    assert scape_plot(similarity)[1, 1] == 0
    assert (scape_plot(similarity, least=3)[:2] == 0).all()


def test_what_never_comes_back_has_no_fitness():
    assert (scape_plot(np.where(np.eye(6, dtype=bool), 1.0, PENALTY)) == 0).all()


def test_similarity_knows_no_key_and_its_diagonal_is_whole():
    chroma = np.eye(12)[np.random.default_rng(0).integers(0, 12, 40)]
    similarity = self_similarity(chroma)
    assert np.array_equal(similarity.diagonal(), np.ones(40))
    assert similarity.max() == 1
    assert set(similarity[similarity < 0]) == {PENALTY}
    assert np.allclose(self_similarity(np.roll(chroma, 5, axis=1)), similarity)


def test_similarity_sees_a_passage_come_back_in_another_key():
    rng = np.random.default_rng(1)
    passage = rng.random((20, 12))
    chroma = np.concatenate([passage, rng.random((10, 12)), np.roll(passage, 4, axis=1)])
    chroma /= np.linalg.norm(chroma, axis=1, keepdims=True)
    similarity = self_similarity(chroma)
    # 16 cells ahead are the same at the first five cells of the passage.
    assert similarity[range(5), range(30, 35)] == pytest.approx(1.0)
    assert similarity[0, 31] < 1


def melody(*passages):
    pitches = [pitch for passage in passages for pitch in passage]
    return score(track(*((BEAT * n, BEAT, pitch, 64) for n, pitch in enumerate(pitches))))


def test_music_that_comes_back_has_more_structure():
    rng = np.random.default_rng(0)
    once = [tuple(rng.integers(48, 84, 12).tolist()) for _ in range(4)]
    repeated, through = structureness(melody(A, B, A, B)), structureness(melody(*once))
    assert all(0 <= value <= 1 for value in (*repeated, *through))
    assert repeated.mid > through.mid


def test_pieces_shorter_than_a_segment_have_none_of_its_structure():
    found = structureness(melody(A))  # six seconds
    assert (found.mid, found.long) == (0, 0)
    assert len(A) * 0.5 * RATE == 12


@pytest.mark.parametrize("silent", [score(), score(track((0, BEAT, 36, 64), is_drum=True))])
def test_nothing_to_measure_is_not_a_number(silent):
    assert all(math.isnan(value) for value in structureness(silent))


def test_silence_is_like_silence():
    piece = score(track((0, 4 * BEAT, 60, 64), (60 * BEAT, 4 * BEAT, 60, 64)))
    assert structureness(piece).long > 0
