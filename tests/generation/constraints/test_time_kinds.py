"""Polyphony, rhythm grid and density, worked by hand."""

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.errors import UsageError
from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.constraints.density import URGE
from aurl.generation.constraints.row import FORBIDDEN, Row
from aurl.midi.score import Tempos
from aurl.tokens.codec import Codec
from aurl.tokens.header import tempo_bin, tempo_bpm
from aurl.tokens.vocabulary import DRUM_PROGRAM, EOS, NOTE_OFF, TIME_SHIFT

CODEC = Codec()
SECONDS = Codec(time_base="seconds")
LANES = np.zeros((32, 256), np.float32)


def restricted(kind, row, codec=CODEC, **options):
    bias = np.zeros(codec.vocabulary_size, np.float32)
    CONSTRAINTS.build(kind, codec, **options).restrict(row, bias)
    assert (bias[NOTE_OFF.start : NOTE_OFF.stop] == 0).all()
    assert bias[EOS] == 0
    return bias


def row(**state):
    return Row(lanes=LANES, stage=0, part=0, **{"programs": [0], **state})


def shifts(bias, most=512):
    """Lengths of the TIME_SHIFTs that are left, up to `most`."""
    left = np.flatnonzero(bias[TIME_SHIFT.start : TIME_SHIFT.stop] > FORBIDDEN) + 1
    return left[left <= most].tolist()


def may_begin(bias):
    return bool((bias[:128] > FORBIDDEN).any())


@pytest.mark.parametrize(
    ("sounding", "per", "part", "begins"),
    [
        ({0: 1, 1: 1}, "piece", 0, True),
        ({0: 2, 1: 1}, "piece", 0, False),
        ({0: 2, 1: 1}, "part", 1, True),
        ({0: 2, 1: 3}, "part", 1, False),
        ({0: 1, 2: 9}, "piece", 0, True),
        ({0: 3, 2: 9}, "piece", 2, True),
    ],
)
def test_notes_begin_while_fewer_sound_than_may(sounding, per, part, begins):
    state = row(sounding=sounding, programs=[0, 40, DRUM_PROGRAM])
    state.part = part
    bias = restricted("polyphony", state, voices=3, per=per)
    assert may_begin(bias) is begins
    assert len(shifts(bias)) == 512


def test_voices_are_counted_over_all_pitched_tracks_or_in_each():
    piece = score(
        track((0, 64, 60, 80), (0, 32, 64, 80), (32, 32, 67, 80)),
        track((40, 8, 40, 80)),
        track(*((0, 64, pitch, 80) for pitch in range(35, 45)), is_drum=True),
    )
    two = CONSTRAINTS.build("polyphony", CODEC, voices=2)
    assert two.broken(piece) == ["3 notes sound at beat 1.25, more than 2"]
    assert CONSTRAINTS.build("polyphony", CODEC, voices=2, per="part").broken(piece) == []
    assert CONSTRAINTS.build("polyphony", CODEC, voices=3).broken(piece) == []
    each = CONSTRAINTS.build("polyphony", CODEC, voices=1, per="part")
    assert [len(one.notes) for one in each.mend(piece).tracks] == [2, 1, 10]
    assert len(two.broken(score(track((0, 0, 60, 80), (0, 0, 61, 80), (0, 9, 62, 80))))) == 1


def test_notes_begin_on_the_points_only():
    """An eighth is 16 steps, a quarter triplet 21⅓."""
    here = restricted("grid", row(step=32), grid=("1/8", "1/4t"))
    assert may_begin(here)
    assert shifts(here, 80) == [11, 16, 32, 48, 53, 64, 75, 80]
    between = restricted("grid", row(step=33), grid=("1/8", "1/4t"))
    assert not may_begin(between)
    assert shifts(between, 80) == [10, 15, 31, 47, 52, 63, 74, 79]


def test_what_sounds_may_end_between_points():
    assert len(shifts(restricted("grid", row(step=32, begun={60: (1, 0)})))) == 512


def test_the_end_of_a_piece_need_not_be_a_point():
    assert shifts(restricted("grid", row(step=32, end_step=32 + 20), grid="1/8"), 24) == [16, 20, 21, 22, 23, 24]


def test_in_seconds_beats_are_those_of_the_header():
    """At 120 BPM a beat is 32 steps of 1/64 s; at the TEMPO nearest to 90 it is some 42.9."""
    assert shifts(restricted("grid", row(), SECONDS, grid="1/4"), 100) == [32, 64, 96]
    tempo = tempo_bin(60_000_000 / 90)
    beat = 60 / tempo_bpm(tempo) * 64
    assert shifts(restricted("grid", row(tempo=tempo), SECONDS, grid="1/4"), 200) == [
        round(beat * number) for number in (1, 2, 3, 4)
    ]


def test_onsets_may_miss_the_grid_by_no_more_than_a_step_is_wide():
    eighths = CONSTRAINTS.build("grid", CODEC, grid="1/8t")
    assert eighths.broken(score(track((0, 9, 60, 80), (165, 9, 60, 80), (315, 9, 60, 80)), ticks_per_beat=480)) == []
    assert eighths.broken(score(track((150, 9, 60, 80)), track((0, 9, 35, 80), is_drum=True), ticks_per_beat=480)) == [
        "a note begins at beat 0.3125, which is not on the grid 1/8t"
    ]
    quarter = CONSTRAINTS.build("grid", SECONDS, grid="1/4")
    slow = {"ticks_per_beat": 480, "tempos": Tempos([0, 960], [500_000, 1_000_000])}
    assert quarter.broken(score(track((487, 9, 60, 80), (963, 9, 60, 80)), **slow)) == []
    assert len(quarter.broken(score(track((489, 9, 60, 80), (967, 9, 60, 80)), **slow))) == 2


def test_no_stretch_gets_fuller_than_it_may():
    """Four notes in two beats, 64 steps: the fifth may come 64 steps after the first."""
    options = {"most": 2.0, "beats": 2.0}
    full = restricted("density", row(step=40, onsets=[0, 10, 20, 40]), **options)
    assert not may_begin(full)
    assert shifts(full, 26) == [24, 25, 26]
    assert may_begin(restricted("density", row(step=64, onsets=[0, 10, 20, 40]), **options))
    assert may_begin(restricted("density", row(step=40, onsets=[10, 20, 40]), **options))
    held = restricted("density", row(step=40, onsets=[0, 10, 20, 40], begun={60: (1, 0)}), **options)
    assert len(shifts(held)) == 512
    drums = row(step=40, onsets=[0, 10, 20, 40], programs=[0, DRUM_PROGRAM])
    assert len(shifts(restricted("density", drums, **options))) == 512
    drums.part = 1
    assert may_begin(restricted("density", drums, **options))
    ending = restricted("density", row(step=40, end_step=50, onsets=[0, 10, 20, 40]), **options)
    assert shifts(ending, 11) == [10, 11]


def test_where_notes_are_too_few_long_waits_get_unlikely():
    """Two notes a beat are 16 steps apart."""
    options = {"least": 2.0, "beats": 2.0}
    few = restricted("density", row(step=60, onsets=[30, 40, 52]), **options)[TIME_SHIFT.start : TIME_SHIFT.stop]
    assert (few[:8] == 0).all()
    assert few[8:].tolist() == pytest.approx([-URGE * number / 16 for number in range(1, 505)])
    enough = restricted("density", row(step=60, onsets=[10, 30, 40, 52]), **options)
    assert (enough == 0).all()
    assert restricted("density", row(step=60, onsets=[]), **options)[TIME_SHIFT.start] == 0


def test_limits_that_allow_nothing_are_refused():
    with pytest.raises(UsageError, match="less than one") as caught:
        CONSTRAINTS.build("density", CODEC, most=0.1, beats=4)
    assert "over 10 beats" in caught.value.hint
    with pytest.raises(UsageError, match="at least 3"):
        CONSTRAINTS.build("density", CODEC, least=3, most=2)


def test_full_stretches_are_told():
    most = CONSTRAINTS.build("density", CODEC, most=1.0, beats=2.0)
    piece = score(track((0, 9, 60, 80), (32, 9, 60, 80), (62, 9, 60, 80), (70, 9, 60, 80)))
    assert most.broken(piece) == [
        "more than 2 notes begin within 2 beats from beat 0 on",
        "more than 2 notes begin within 2 beats from beat 1 on",
    ]
    assert most.broken(score(track((0, 9, 60, 80), (32, 9, 60, 80), (64, 9, 60, 80)))) == []
    assert CONSTRAINTS.build("density", CODEC, least=9).broken(piece) == []


def test_inner_notes_off_the_beat_are_left_out_first():
    """Of five notes in a beat two may stay: outer ones on the beat before those off it, then the louder."""
    chord = ((0, 9, 48, 60), (0, 9, 55, 120), (0, 9, 64, 50))
    piece = score(track(*chord, (9, 9, 70, 90), (16, 9, 72, 70)), track((4, 9, 36, 99), is_drum=True))
    mended = CONSTRAINTS.build("density", CODEC, most=2.0, beats=1.0).mend(piece)
    assert mended.tracks[0].notes.pitch.tolist() == [48, 64]
    assert len(mended.tracks[1].notes) == 1
    three = CONSTRAINTS.build("density", CODEC, most=3.0, beats=1.0).mend(piece)
    assert three.tracks[0].notes.pitch.tolist() == [48, 55, 64]
