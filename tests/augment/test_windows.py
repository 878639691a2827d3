"""Windows from anywhere in a piece, changed by kinds that leave nothing to chance, against the same notes by hand."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import DRUMS, PROGRAM, TEMPO, codecs, notes_by_hand, windows

from aurl.augment import Augmenter

TIMELESS = ("beats", "seconds")


def same(value):
    return value


def stretched(step):
    return floor(step * Fraction(1.2) + Fraction(1, 2))


def swung(step):
    phase = step % 32
    return step - phase + round(Fraction(3 * phase, 2) if phase <= 16 else 24 + Fraction(phase - 16, 2))


CASES = {
    "transpose": ({"semitones": [3, 3]}, TIMELESS, same, lambda pitch: pitch + 3, same),
    "stretch": ({"factor": [1.2, 1.2]}, ("seconds",), stretched, same, same),
    "velocity": (
        {"shift": [2, 2], "scale": [1, 1], "curve": [1, 1]},
        TIMELESS,
        same,
        same,
        lambda level: min(level + 2, 5),
    ),
    "swing": ({"ratio": [3, 3]}, ("beats",), swung, same, same),
}


@pytest.mark.parametrize("kind", CASES)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_notes_of_windows_change_as_those_of_pieces_do(kind, data):
    options, time_bases, time, tone, loudness = CASES[kind]
    codec = data.draw(codecs(time_base=data.draw(st.sampled_from(time_bases)), header=("tempo", "key")))
    passage = data.draw(windows(codec))
    changed = Augmenter([{"kind": kind, **options}], time_base=codec.time_base)(passage, np.random.default_rng(0))
    end, notes = notes_by_hand(passage)
    new_end, found = notes_by_hand(changed)
    kits = [program == PROGRAM + DRUMS for program in passage.ids.tolist() if PROGRAM <= program < TEMPO]

    def is_kit(part):
        return kits[part] if codec.parts else passage.is_drum

    expected = [
        (
            part,
            pitch if is_kit(part) else tone(pitch),
            None if onset is None else time(onset),
            None if offset is None else time(offset),
            None if onset is None else loudness(level),
        )
        for part, pitch, onset, offset, level in notes
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert changed.start_step == time(passage.start_step)
    assert new_end == time(end)
    assert changed.part == passage.part
    assert changed.velocity == (passage.velocity if passage.velocity < 0 else loudness(passage.velocity))
