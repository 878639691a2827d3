import builtins
import math

import pytest
from tests.support.scores import score, track

from aurl.errors import UsageError
from aurl.evaluation.reconstruction import note_match
from aurl.midi.score import Tempos

# 32 ticks per beat at 120 BPM: 3 ticks are 47 ms, 4 are 62 ms.
PLAYED = score(track((0, 32, 60, 64), (32, 32, 62, 64), (64, 32, 64, 64), (96, 32, 65, 64)))


@pytest.mark.parametrize(
    ("rows", "precision", "recall", "f1"),
    [
        ([(0, 32, 60), (32, 32, 62), (64, 32, 64), (96, 32, 65)], 1, 1, 1),
        ([(3, 1, 60), (29, 90, 62)], 1, 1 / 2, 2 / 3),  # 47 ms off, of any length
        ([(4, 32, 60), (28, 32, 62), (64, 32, 64)], 1 / 3, 1 / 4, 2 / 7),  # two are 62 ms off
        ([(0, 32, 61), (32, 32, 63)], 0, 0, 0),  # a semitone off
        ([(0, 8, 60), (1, 8, 60)], 1 / 2, 1 / 4, 1 / 3),  # one note is found once
        ([(0, 0, 60)], 1, 1 / 4, 2 / 5),
        ([], 0, 0, 0),
    ],
)
def test_notes_match_by_pitch_and_onset(rows, precision, recall, f1):
    found = note_match(PLAYED, score(track(*[(*row, 100) for row in rows])))
    assert found == pytest.approx((precision, recall, f1))


def test_seconds_count_not_ticks():
    slower = score(*PLAYED.tracks, tempos=Tempos([0], [1_000_000]))
    assert note_match(PLAYED, slower).recall == 1 / 4
    assert note_match(slower, slower).f1 == 1


def test_drums_match_drums_only():
    assert note_match(score(track((0, 8, 36, 64))), score(track((0, 8, 36, 64), is_drum=True))).f1 == 0
    assert note_match(score(track((0, 8, 36, 64), is_drum=True)), score(track((0, 8, 36, 64), is_drum=True))).f1 == 1


def test_two_silences_are_not_a_number():
    assert all(map(math.isnan, note_match(score(), score())))


def test_without_mir_eval_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("mir_eval"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match="mir_eval") as caught:
        note_match(PLAYED, PLAYED)
    assert "aurl[eval]" in caught.value.hint
