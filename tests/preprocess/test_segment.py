import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import notes, score, scores, track

from aurl.errors import UsageError
from aurl.midi.clock import bar_ticks
from aurl.midi.score import Controls, KeySignatures, Score, Tempos, Text, TimeSignatures, Track
from aurl.preprocess import PREPROCESS
from aurl.preprocess.excerpt import excerpt

BAR = 128  # four beats of 32 ticks


def divided(piece, **options):
    done = PREPROCESS.build("segment", **options).counted(piece)
    return (done.score, *done.rest), done.repairs


def rows(one):
    columns = (one.notes.onset, one.notes.duration, one.notes.pitch, one.notes.velocity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def bars_of(count):
    return score(track(*((bar * BAR, 64, 60, 70) for bar in range(count))))


def lengths(pieces):
    return [piece.note_count for piece in pieces]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [1]), (4, [4]), (5, [5]), (6, [4, 2]), (8, [4, 4]), (9, [4, 5]), (14, [4, 4, 4, 2])],
)
def test_every_so_many_bars_with_short_rests_added(count, expected):
    assert lengths(divided(bars_of(count), bars=4, min_bars=2)[0]) == expected


def test_short_pieces_are_returned_as_they_are():
    piece = bars_of(19)
    assert divided(piece)[0][0] is piece


def test_notes_over_a_cut_end_there():
    piece = score(track((0, 10, 60, 70), (100, 50, 62, 70), (BAR + 3, 9, 64, 70)))
    (first, second), repairs = divided(piece, bars=1, min_bars=1)
    assert rows(first.tracks[0]) == [(0, 10, 60, 70), (100, 28, 62, 70)]
    assert rows(second.tracks[0]) == [(3, 9, 64, 70)]
    assert repairs == {"segment_cut": 1}


def test_what_is_in_force_is_set_at_the_start():
    piece = Score(
        32,
        (
            Track(
                notes((0, 10, 60, 70), (96 * 3, 10, 60, 70)),
                program=5,
                name="keys",
                controls=Controls([0, 50, 60, 70, 300], [64, 64, 7, 123, 64], [127, 0, 90, 0, 80]),
                lyrics=(Text(0, "a"), Text(290, "b")),
            ),
            track((0, 10, 40, 70)),
        ),
        tempos=Tempos([0, 40, 320], [500_000, 400_000, 300_000]),
        time_signatures=TimeSignatures([0], [3], [4]),
        key_signatures=KeySignatures([0, 96 * 3], [1, -2], [False, True]),
        markers=(Text(288, "B"),),
    )
    (_, second), _ = divided(piece, bars=3, min_bars=1)
    assert second == Score(
        32,
        (
            Track(
                notes((0, 10, 60, 70)),
                program=5,
                name="keys",
                controls=Controls([0, 0, 12], [64, 7, 64], [0, 90, 80]),
                lyrics=(Text(2, "b"),),
            ),
        ),
        tempos=Tempos([0, 32], [400_000, 300_000]),
        time_signatures=TimeSignatures([0], [3], [4]),
        key_signatures=KeySignatures([0], [-2], [True]),
        markers=(Text(0, "B"),),
    )


def test_before_the_first_tempo_nothing_is_in_force():
    piece = score(track((0, 1, 60, 70), (130, 1, 60, 70)), tempos=Tempos([200], [400_000]))
    pieces = excerpt(piece, 0, BAR)[0], excerpt(piece, BAR, 10**6)[0]
    assert [piece.tempos.tick.tolist() for piece in pieces] == [[], [72]]


def test_stretches_without_notes_are_left_out():
    piece = score(track((0, 10, 60, 70), (9 * BAR, 10, 62, 70)))
    pieces, _ = divided(piece, bars=2, min_bars=1)
    assert [rows(one.tracks[0]) for one in pieces] == [[(0, 10, 60, 70)], [(BAR, 10, 62, 70)]]


def phrased(*bars):
    """A melody of four quarters a bar whose phrases, so many bars long, end with a half note and a quarter rest."""
    onsets, start = [], 0
    for length in bars:
        beats = [beat for beat in range(4 * length) if beat not in (4 * length - 2, 4 * length - 1)]
        onsets += [(start + beat) * 32 for beat in beats]
        start += 4 * length
    return score(track(*((onset, 30, 60 + onset // 32 % 4, 70) for onset in onsets)))


def starts(pieces, piece):
    """Bars with which segments begin, told from their number of notes."""
    onsets = np.concatenate([one.notes.onset for one in piece.tracks])
    first = np.cumsum([0, *lengths(pieces)[:-1]])
    return (np.sort(onsets)[first] // BAR).tolist()


def test_phrases_are_not_divided():
    piece = phrased(5, 4, 3, 5, 3, 4)
    assert starts(divided(piece, by="bars", bars=4, min_bars=2)[0], piece) == [0, 4, 8, 12, 16, 20]
    assert starts(divided(piece, by="phrases", bars=4, min_bars=2)[0], piece) == [0, 5, 9, 12, 17, 20]


def test_segments_of_phrases_have_about_the_length_asked_for():
    piece = phrased(*[4] * 16)
    pieces, _ = divided(piece, by="phrases", bars=16, min_bars=4)
    assert starts(pieces, piece) == [0, 16, 32, 48]


@given(scores(), st.sampled_from(["bars", "phrases"]), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_all_onsets_are_in_one_segment_and_each_begins_on_a_bar_line(piece, by, bars, min_bars):
    pieces, repairs = divided(piece, by=by, bars=max(bars, min_bars), min_bars=min_bars)
    assert sum(lengths(pieces)) == piece.note_count
    lines = set(bar_ticks(piece, piece.end_tick).tolist())
    whole = [
        {(onset, pitch, velocity, *key) for onset, _, pitch, velocity in rows(one)}
        for one in piece.tracks
        for key in [(one.program, one.is_drum)]
    ]
    left = set().union(*whole)
    for part in pieces if len(pieces) > 1 else ():
        found = [(row, one) for one in part.tracks for row in rows(one)]
        fits = [
            line
            for line in lines
            if {(line + row[0], row[2], row[3], one.program, one.is_drum) for row, one in found} <= left
        ]
        assert fits
    shortened = sum(one.notes.duration.sum() for p in pieces for one in p.tracks)
    assert (shortened < sum(one.notes.duration.sum() for one in piece.tracks)) == ("segment_cut" in repairs)


def test_bounds_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="at least 8"):
        PREPROCESS.build("segment", bars=4, min_bars=8)
    with pytest.raises(ValueError, match="known"):
        PREPROCESS.build("segment", by="notes")
