import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import score, scores, track

from aurl.midi.score import Notes, Track
from aurl.preprocess import PREPROCESS
from aurl.preprocess.polyphony import most_at_once


def reduced(piece, voices):
    return PREPROCESS.build("polyphony", voices=voices).counted(piece)


def rows(piece, index=0):
    notes = piece.tracks[index].notes
    columns = (notes.onset, notes.duration, notes.pitch, notes.velocity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_melody_and_bass_stay_then_the_loudest():
    piece = score(track(*((0, 96, pitch, loud) for pitch, loud in ((48, 40), (55, 70), (60, 90), (64, 80), (72, 50)))))
    assert [row[2] for row in rows(reduced(piece, 4).score)] == [48, 60, 64, 72]
    assert [row[2] for row in rows(reduced(piece, 3).score)] == [48, 60, 72]
    assert [row[2] for row in rows(reduced(piece, 2).score)] == [48, 72]
    assert [row[2] for row in rows(reduced(piece, 1).score)] == [72]
    assert reduced(piece, 3).repairs == {"polyphony_dropped": 2}
    assert reduced(piece, 5).score is piece


def test_of_notes_as_loud_the_longest_stays():
    piece = score(track((0, 96, 48, 70), (0, 32, 55, 70), (0, 64, 60, 70), (0, 96, 72, 70)))
    assert [row[2] for row in rows(reduced(piece, 3).score)] == [48, 60, 72]


def test_a_held_inner_note_makes_room_for_one_that_is_struck():
    piece = score(track((0, 96, 48, 70), (0, 96, 60, 127), (0, 96, 72, 70), (32, 64, 64, 30)))
    result = reduced(piece, 3)
    assert rows(result.score) == [(0, 96, 48, 70), (0, 32, 60, 127), (0, 96, 72, 70), (32, 64, 64, 30)]
    assert result.repairs == {"polyphony_cut": 1}


def test_a_new_melody_note_takes_over_from_a_held_one():
    piece = score(track((0, 96, 48, 70), (0, 96, 72, 70), (32, 64, 76, 40)))
    assert rows(reduced(piece, 2).score) == [(0, 96, 48, 70), (0, 32, 72, 70), (32, 64, 76, 40)]


def test_a_new_note_between_bass_and_melody_is_dropped():
    piece = score(track((0, 96, 48, 70), (0, 96, 72, 70), (32, 64, 60, 127)))
    result = reduced(piece, 2)
    assert [row[2] for row in rows(result.score)] == [48, 72]
    assert result.repairs == {"polyphony_dropped": 1}


def test_stubs_of_a_strummed_chord_are_dropped():
    piece = score(track(*((i, 96 - i, 50 + 4 * i, 70) for i in range(5))), ticks_per_beat=32)
    result = reduced(piece, 3)
    assert rows(result.score) == [(0, 96, 50, 70), (1, 95, 54, 70), (4, 92, 66, 70)]
    assert result.repairs == {"polyphony_dropped": 2}


def test_tracks_count_together_and_drums_do_not():
    drums = track(*((0, 96, pitch, 100) for pitch in range(35, 45)), is_drum=True)
    piece = score(track((0, 96, 72, 50)), drums, track((0, 96, 60, 50), (0, 96, 64, 90)), track((0, 96, 40, 50)))
    result = reduced(piece, 3).score
    assert [len(one.notes) for one in result.tracks] == [1, 10, 1, 1]
    assert rows(result, 2) == [(0, 96, 64, 90)]
    assert result.tracks[1].notes == drums.notes


def test_a_note_may_begin_where_another_ends():
    piece = score(track((0, 10, 60, 70), (10, 10, 62, 70), (20, 10, 64, 70)))
    assert reduced(piece, 1).score is piece
    assert most_at_once(piece.tracks[0].notes) == 1
    assert most_at_once(Notes()) == 0


def sounding(tables, tick):
    return sorted(
        pitch
        for notes in tables
        for onset, offset, pitch in zip(
            notes.onset.tolist(),
            (notes.onset + np.maximum(notes.duration, 1)).tolist(),
            notes.pitch.tolist(),
            strict=True,
        )
        if onset <= tick < offset
    )


def heard(before, after, tick):
    """Pitches that ask for a voice at `tick`: of notes that begin there, or that were kept so far and go on."""
    begin = [p for notes in before for p in notes.pitch[notes.onset == tick].tolist()]
    going_on = set()
    for original, kept in zip(before, after, strict=True):
        ended = set(sounding([original], tick - 1)) - set(sounding([original.take(original.onset < tick)], tick))
        whole = {p for p in sounding([kept], tick - 1) if p not in ended}
        doubled = {p for p in whole if sounding([original], tick - 1).count(p) > 1}  # which of them was kept?
        going_on |= whole - doubled
    return [*begin, *going_on]


@given(scores(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_never_more_than_so_many_and_the_top_is_always_heard(piece, voices):
    result = reduced(piece, voices)
    before = [one.notes for one in piece.tracks if not one.is_drum]
    after = [one.notes for one in result.score.tracks if not one.is_drum]
    ticks = sorted({tick for notes in before for tick in notes.onset.tolist()})
    assert all(len(sounding(after, tick)) <= voices for tick in ticks)
    if piece.ticks_per_beat < 8:  # there no cut leaves a stub
        for tick in ticks:
            assert sounding(after, tick)[-1] >= max(heard(before, after, tick))
            if voices > 1:
                assert sounding(after, tick)[0] <= min(heard(before, after, tick))
    gone = piece.note_count - result.score.note_count
    assert gone == result.repairs.get("polyphony_dropped", 0)
    kept = {(t, *row[:1], *row[2:]) for t in range(len(piece.tracks)) for row in rows(result.score, t)}
    assert kept <= {(t, *row[:1], *row[2:]) for t in range(len(piece.tracks)) for row in rows(piece, t)}


@pytest.mark.parametrize("voices", [1, 3])
def test_dense_music_is_thinned_in_one_sweep(voices):
    rng = np.random.default_rng(0)
    count = 5000
    table = Notes(
        np.sort(rng.integers(0, 20_000, count)), rng.integers(1, 2000, count), rng.integers(0, 128, count), [70] * count
    ).ordered()
    result = reduced(score(Track(table), ticks_per_beat=480), voices)
    assert most_at_once(result.score.tracks[0].notes) == voices
