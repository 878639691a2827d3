from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import body_with, from_sep, whole, window
from tests.support.scores import score, scores, track

from aurl.augment import Augmenter
from aurl.midi.score import TimeSignatures
from aurl.tokens.codec import Codec

PLAIN = Codec(parts=False, header=())


def swung(passage, low=2.0, high=2.0, seed=0, **options):
    augmenter = Augmenter([{"kind": "swing", "ratio": [low, high], **options}], time_base="beats")
    return augmenter(passage, np.random.default_rng(seed))


def shifts(passage):
    return [token - 255 for token in passage.ids.tolist() if 256 <= token < 768]


def legato(duration, count, **maps):
    return score(track(*((duration * i, duration, 60 + i % 2, 70) for i in range(count))), **maps)


def test_straight_eighths_become_two_to_one():
    assert shifts(whole(legato(16, 8), PLAIN)) == [16] * 8
    assert shifts(swung(whole(legato(16, 8), PLAIN))) == [21, 11] * 4


def test_sixteenths_swing_within_each_eighth():
    assert shifts(swung(whole(legato(8, 8), PLAIN), 3.0, 3.0, grid="1/16")) == [12, 4] * 4


def test_notes_on_the_beat_stay():
    piece = whole(legato(32, 8), PLAIN)
    assert swung(piece).ids.tolist() == piece.ids.tolist()


def test_what_lies_between_moves_along():
    # Sixteenths at 0, 8, 16, 24 of 32 with the off-beat at 24 (3:1): half way to it, and half way from it.
    assert shifts(swung(whole(legato(8, 8), PLAIN), 3.0, 3.0)) == [12, 12, 4, 4] * 2


def test_a_window_from_within_a_piece_swings_as_the_piece_does():
    piece = whole(legato(16, 8), PLAIN)
    inside = window(piece, 10, len(piece.ids), 1)
    assert inside.start_step == 48
    changed = swung(inside)
    assert changed.start_step == 32 + 21
    rest = swung(piece).ids.tolist()[10:]
    assert changed.ids.tolist()[1:] == rest


@pytest.mark.parametrize(
    ("numerator", "denominator", "grid", "swings"),
    [
        (4, 4, "1/8", True),
        (3, 4, "1/8", True),
        (2, 2, "1/8", True),
        (6, 8, "1/8", False),
        (6, 8, "1/16", True),
        (7, 16, "1/16", False),
    ],
)
def test_only_meters_whose_beats_are_whole_pairs_swing(numerator, denominator, grid, swings):
    meter = TimeSignatures([0], [numerator], [denominator])
    piece = whole(legato(8, 8, time_signatures=meter), Codec())
    assert (swung(piece, grid=grid).ids.tolist() != piece.ids.tolist()) == swings


def test_the_ratio_is_drawn_between_its_bounds():
    piece = whole(legato(16, 4), PLAIN)
    firsts = {shifts(swung(piece, 1.0, 3.0, seed))[0] for seed in range(300)}
    assert firsts == set(range(16, 25))


def test_an_unknown_grid():
    with pytest.raises(ValueError, match="unknown grid '1/4'; known: 1/8, 1/16"):
        Augmenter([{"kind": "swing", "grid": "1/4"}], time_base="beats")


def delayed(step: int, pair: int, ratio: Fraction) -> int:
    half = Fraction(pair, 2)
    middle = pair * ratio / (ratio + 1)
    start, phase = step // pair * pair, Fraction(step % pair)
    if phase <= half:
        return start + round(phase * middle / half)
    return start + round(middle + (phase - half) * (pair - middle) / half)


@given(scores(), st.sampled_from([1, 1.5, 2, 3, 4]), st.sampled_from([("1/8", 32), ("1/16", 16)]))
@settings(max_examples=75, deadline=None)
def test_ids_are_those_of_the_score_whose_times_are_delayed(piece, ratio, grid):
    codec = Codec(header=("tempo", "key"))
    passage = whole(piece, codec)

    def later(step):
        return delayed(step, grid[1], Fraction(ratio))

    changed = swung(passage, ratio, ratio, grid=grid[0])
    expected = body_with(passage.ids, lambda a, b, pitch, level: (later(a), later(b), pitch, level))
    assert from_sep(changed.ids.tolist()) == expected
