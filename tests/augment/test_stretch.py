from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import body_with, from_sep, whole, window
from tests.support.scores import score, scores, track

from aurl.augment import Augmenter
from aurl.midi.score import Score, Tempos
from aurl.tokens.codec import Codec
from aurl.tokens.header import tempo_bpm

TEMPO = 940


def stretched(passage, low, high, time_base, seed=0):
    augmenter = Augmenter([{"kind": "stretch", "factor": [low, high]}], time_base=time_base)
    return augmenter(passage, np.random.default_rng(seed))


def tempo_of(passage):
    return tempo_bpm(int(passage.ids[1]) - TEMPO)


@pytest.mark.parametrize("time_base", ["beats", "seconds"])
@pytest.mark.parametrize("factor", [0.5, 0.8, 0.93, 1.0, 1.2, 2.0])
def test_the_tempo_becomes_slower_by_the_factor_to_the_nearest_level(time_base, factor):
    piece = score(track((0, 8, 60, 70)), tempos=Tempos([0], [500_000]))
    passage = whole(piece, Codec(time_base=time_base))
    changed = stretched(passage, factor, factor, time_base)
    assert tempo_of(changed) == pytest.approx(tempo_of(passage) / factor, rel=10 ** (1 / 62) - 1)


def test_tempi_end_where_the_levels_do():
    piece = score(track((0, 8, 60, 70)), tempos=Tempos([0], [210_000]))
    assert tempo_of(stretched(whole(piece, Codec()), 0.5, 0.5, "beats")) == 300


def test_in_beats_only_the_tempo_changes():
    piece = score(track((0, 8, 60, 70), (100, 300, 62, 70)), tempos=Tempos([0], [500_000]))
    passage = whole(piece, Codec())
    changed = stretched(passage, 1.2, 1.2, "beats")
    assert np.flatnonzero(changed.ids != passage.ids).tolist() == [1]


def test_in_seconds_times_are_scaled_each_for_itself_so_that_nothing_drifts():
    # 1,000 notes, each 3 steps after the other: rounding gaps of 3 · 0.9 = 2.7 would be 300 steps off at the end.
    piece = score(track(*((3 * i, 1, 60 + i % 2, 70) for i in range(1000))))
    passage = whole(piece, Codec(time_base="seconds", header=()))
    back = Codec(time_base="seconds", header=()).decode(stretched(passage, 0.9, 0.9, "seconds").ids)
    steps = back.tracks[0].notes.onset * 2 * 64 // (2 * 480 * 2)
    assert np.abs(np.sort(steps) - 2.7 * np.arange(1000)).max() <= 1


def test_the_start_of_a_window_is_scaled_too():
    passage = whole(score(track((0, 64, 60, 70), (100, 8, 62, 70))), Codec(time_base="seconds", parts=False, header=()))
    inside = window(passage, 4, len(passage.ids), 1)
    assert inside.start_step == 64
    assert inside.ids.tolist() == [775, 188, 291, 62, 263, 190, 776]
    changed = stretched(inside, 1.25, 1.25, "seconds")
    assert changed.start_step == 80
    assert changed.ids.tolist() == [775, 188, 255 + 45, 62, 255 + 10, 190, 776]


def test_gaps_over_512_steps_take_as_many_shifts_as_they_need():
    passage = whole(score(track((500, 8, 60, 70))), Codec(time_base="seconds", parts=False, header=()))
    changed = stretched(passage, 2.1, 2.1, "seconds")
    assert changed.ids.tolist() == [775, 767, 767, 255 + 26, 771, 60, 255 + 17, 188, 776]


def test_factors_are_drawn_evenly_between_their_bounds():
    passage = whole(score(track((1000, 8, 60, 70))), Codec(time_base="seconds", parts=False, header=()))
    starts = []
    for seed in range(400):
        shifts = [t - 255 for t in stretched(passage, 0.8, 1.2, "seconds", seed).ids.tolist() if 256 <= t < 768]
        starts.append(sum(shifts[:-1]))
    assert 800 <= min(starts) < 830
    assert 1170 < max(starts) <= 1200
    assert np.mean(starts) == pytest.approx(1000, abs=20)


@given(scores(), st.sampled_from([0.5, 0.8125, 0.9375, 1.125, 1.1875, 3.0]))
@settings(max_examples=75, deadline=None)
def test_ids_are_those_of_the_score_at_other_times(piece, factor):
    codec = Codec(time_base="seconds")
    passage = whole(piece, codec)

    def later(steps):
        return floor(steps * Fraction(factor) + Fraction(1, 2))

    changed = stretched(passage, factor, factor, "seconds")
    expected = body_with(passage.ids, lambda a, b, pitch, level: (later(a), later(b), pitch, level))
    assert from_sep(changed.ids.tolist()) == expected


@given(scores(), st.sampled_from([0.8, 0.93, 1.13, 1.2]))
@settings(max_examples=50, deadline=None)
def test_in_beats_ids_are_those_of_the_score_in_another_tempo(piece, factor):
    passage = whole(piece, Codec())
    told = Codec().decode(passage.ids)
    if not len(told.tempos):
        assert stretched(passage, factor, factor, "beats").ids.tolist() == passage.ids.tolist()
        return
    tempos = Tempos(told.tempos.tick, np.rint(told.tempos.microseconds_per_beat * factor).astype(int))
    again = Score(
        told.ticks_per_beat,
        tracks=told.tracks,
        tempos=tempos,
        time_signatures=told.time_signatures,
        key_signatures=told.key_signatures,
    )
    assert stretched(passage, factor, factor, "beats").ids.tolist()[:2] == Codec().encode(again).ids.tolist()[:2]
