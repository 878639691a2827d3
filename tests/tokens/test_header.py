from itertools import pairwise

import numpy as np
import pytest
from tests.support.scores import score

from aurl.midi.score import KeySignatures, Tempos, TimeSignatures
from aurl.tokens.header import header_ids, read_header, tempo_bin, tempo_bpm
from aurl.tokens.vocabulary import KEY, TEMPO, TEMPO_BINS, TIME_SIGNATURE, TIME_SIGNATURES

ALL = ("tempo", "time_signature", "key")


def test_tempo_bins_run_from_30_to_300_in_equal_ratios():
    bpm = [tempo_bpm(number) for number in range(TEMPO_BINS)]
    assert (bpm[0], bpm[-1]) == (30, pytest.approx(300))
    assert [b / a for a, b in pairwise(bpm)] == pytest.approx([10 ** (1 / 31)] * 31)


@pytest.mark.parametrize("bpm", [30, 31.5, 60, 97, 120, 144.4, 299])
def test_tempo_takes_the_bin_nearest_in_ratio(bpm):
    number = tempo_bin(60e6 / bpm)
    ratios = [max(bpm / tempo_bpm(other), tempo_bpm(other) / bpm) for other in range(TEMPO_BINS)]
    assert ratios[number] == min(ratios)


@pytest.mark.parametrize(("microseconds", "number"), [(0, 31), (1, 31), (10**9, 0)])
def test_absurd_tempi_take_the_outer_bins(microseconds, number):
    assert tempo_bin(microseconds) == number


def test_the_entry_in_force_at_the_first_note_counts():
    piece = score(
        tempos=Tempos([0, 100, 200], [500_000, 1_000_000, 250_000]),
        time_signatures=TimeSignatures([0, 100, 101], [4, 3, 2], [4, 4, 4]),
        key_signatures=KeySignatures([50], [3], [True]),
    )
    facts = read_header(np.array(header_ids(piece, ALL, 100)))
    assert facts.time_signatures.numerator.tolist() == [3]
    assert (facts.key_signatures.fifths.tolist(), facts.key_signatures.minor.tolist()) == ([3], [True])
    assert 60e6 / facts.tempos.microseconds_per_beat[0] == pytest.approx(60, rel=0.04)


def test_what_the_score_or_the_table_does_not_say_is_left_out():
    assert header_ids(score(), ALL, 0) == []
    odd = score(time_signatures=TimeSignatures([0], [17], [4]), key_signatures=KeySignatures([8], [0], [False]))
    assert header_ids(odd, ALL, 0) == []
    assert header_ids(score(time_signatures=TimeSignatures([0], [4], [32])), ALL, 0) == []


def test_only_the_facts_asked_for_are_told_in_stream_order():
    piece = score(
        tempos=Tempos([0], [500_000]),
        time_signatures=TimeSignatures([0], [7], [8]),
        key_signatures=KeySignatures([0], [0], [False]),
    )
    meter = TIME_SIGNATURE.start + TIME_SIGNATURES.index((7, 8))
    assert header_ids(piece, ("key", "time_signature"), 0) == [meter, KEY.start + 7]
    assert header_ids(piece, ("tempo",), 0) == [TEMPO.start + 19]
