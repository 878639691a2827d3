import math

import numpy as np
import pytest
from tests.support.training import melody

from aurl.data.dataset import open_dataset
from aurl.evaluation.metrics import METRICS, note_density
from aurl.midi.read import read_score
from aurl.midi.score import Notes, Score, Tempos, Track
from aurl.training.samples import beginning, measure, reference, sample_names

SLOWER = [(0, 500_000), (960, 1_000_000)]
"""120 BPM, from beat 2 on 60."""


def a_score(*notes, tempos=()) -> Score:
    """Notes are (onset, duration, pitch) in ticks."""
    columns = [np.array(column) for column in zip(*notes, strict=True)]
    changes = Tempos(*(np.array(column) for column in zip(*tempos, strict=True))) if tempos else Tempos()
    return Score(tracks=(Track(Notes(*columns, np.full(len(notes), 80))),), tempos=changes)


def test_the_beginning_of_a_piece():
    """Two seconds are three beats, 1,440 ticks."""
    score = a_score((0, 480, 60), (960, 960, 62), (1439, 10, 64), (1440, 10, 65), tempos=SLOWER)
    notes = beginning(score, 2.0).tracks[0].notes
    assert notes.onset.tolist() == [0, 960, 1439]
    assert notes.duration.tolist() == [480, 480, 1]
    assert beginning(score, 100.0) == score


def test_means_are_those_of_the_metrics_and_all_have_names():
    scores = [read_score(melody(seed)).score for seed in range(3)]
    known = {name: np.array([metric(score) for score in scores]) for name, metric in METRICS.items()}
    found = measure(scores, known)
    assert sorted(found) == sorted(sample_names())
    assert found["sample/note_density"] == pytest.approx(np.mean([note_density(score) for score in scores]))
    assert found["sample/overlap"] == pytest.approx(1, abs=0.02), "with itself"
    strange = measure([a_score((0, 4800, 60))], known)
    assert strange["sample/note_density_overlap"] < 0.01
    assert strange["sample/polyphony_overlap"] == pytest.approx(1, abs=0.02), "one voice in both"
    assert strange["sample/note_density"] == 0.1


def test_pieces_without_notes_say_nothing():
    known = {name: np.ones(3) for name in METRICS}
    assert all(math.isnan(value) for value in measure([Score(), Score()], known).values())
    scores = [Score(), read_score(melody(0)).score]
    assert measure(scores, known)["sample/note_density"] == note_density(scores[1])


def test_what_is_compared_with_are_the_beginnings_of_valid_pieces(dataset):
    data = open_dataset(dataset)
    expected = [note_density(beginning(data.codec.decode(ids), 3.0)) for ids in data.pieces("valid")]
    assert reference(dataset, 3.0)["note_density"].tolist() == expected
    assert len(expected) == 4
