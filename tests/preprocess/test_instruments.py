import pytest
from tests.support.scores import notes, score, track

from aurl.errors import UsageError
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Controls, Text, Track
from aurl.preprocess import PREPROCESS

PIANO, HONKY_TONK, BASS, VIOLIN, CELLO = 0, 3, 32, 40, 42


def changed(piece, **options):
    return PREPROCESS.build("instruments", **options).counted(piece)


def rows(one):
    columns = (one.notes.onset, one.notes.duration, one.notes.pitch, one.notes.velocity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def band():
    return score(
        track((0, 10, 60, 70), program=PIANO),
        track((0, 10, 36, 90), is_drum=True),
        track((5, 10, 62, 70), (6, 10, 62, 70), program=HONKY_TONK),
        track((0, 10, 67, 70), program=VIOLIN),
        track((20, 10, 64, 70), program=PIANO),
        track((8, 10, 38, 90), is_drum=True),
    )


def outline(piece):
    return [(one.program, one.is_drum, len(one.notes)) for one in piece.tracks]


def test_kept_as_they_are():
    piece = band()
    assert changed(piece).score is piece


def test_tracks_of_one_program_become_one():
    assert outline(changed(band(), mode="merge").score) == [
        (PIANO, False, 2), (0, True, 2), (HONKY_TONK, False, 2), (VIOLIN, False, 1),
    ]  # fmt: skip


def test_tracks_of_one_family_get_its_fullest_program():
    piece = score(
        track((0, 1, 60, 70), program=PIANO),
        track((4, 1, 60, 70), (8, 1, 62, 70), (9, 1, 62, 70), program=HONKY_TONK),
        track((2, 1, 60, 70), program=PIANO),
        track((2, 1, 50, 70), program=BASS),
    )
    assert outline(changed(piece, mode="merge", together="family").score) == [(HONKY_TONK, False, 5), (BASS, False, 1)]


def test_all_pitched_tracks_become_one():
    assert outline(changed(band(), mode="merge", together="all").score) == [(PIANO, False, 5), (0, True, 2)]


def test_notes_that_meet_in_one_track_are_resolved_and_counted():
    piece = score(
        track((0, 10, 60, 50), (20, 30, 62, 50), program=PIANO), track((0, 12, 60, 90), (30, 5, 62, 50), program=PIANO)
    )
    result = changed(piece, mode="merge")
    assert rows(result.score.tracks[0]) == [(0, 12, 60, 90), (20, 10, 62, 50), (30, 5, 62, 50)]
    assert result.repairs == {"instruments_merged": 1, "instruments_cut": 1}


def test_controls_and_lyrics_come_along_in_order():
    first = Track(notes((0, 1, 60, 70)), controls=Controls([0, 9], [7, 7], [1, 2]), lyrics=(Text(4, "b"),))
    second = Track(notes((1, 1, 60, 70)), name="left", controls=Controls([5], [64], [3]), lyrics=(Text(2, "a"),))
    (one,) = changed(score(first, second), mode="merge").score.tracks
    assert one.controls == Controls([0, 5, 9], [7, 64, 7], [1, 3, 2])
    assert (one.name, one.lyrics) == ("left", (Text(2, "a"), Text(4, "b")))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"families": ["piano"]}, [(PIANO, False, 1), (HONKY_TONK, False, 2), (PIANO, False, 1)]),
        ({"families": ["drums"]}, [(0, True, 1), (0, True, 1)]),
        ({"programs": [0]}, [(PIANO, False, 1), (PIANO, False, 1)]),
        ({"programs": ["violin"], "families": ["drums"]}, [(0, True, 1), (VIOLIN, False, 1), (0, True, 1)]),
        ({"programs": [VIOLIN, "Honky-tonk Piano"]}, [(HONKY_TONK, False, 2), (VIOLIN, False, 1)]),
    ],
)
def test_selected_tracks_stay_and_the_notes_of_others_are_counted(options, kept):
    result = changed(band(), mode="select", **options)
    assert outline(result.score) == kept
    assert result.repairs == {"instruments_dropped": 7 - sum(count for *_, count in kept)}


def test_a_piece_without_any_of_them_is_rejected():
    for options, fault in (
        ({"families": ["brass"], "programs": [CELLO]}, "no note of Cello, brass"),
        ({}, "no note of any instrument"),
    ):
        with pytest.raises(Rejected, match=fault) as caught:
            changed(band(), mode="select", **options)
        assert caught.value.reason is RejectReason.FILTERED


def test_unknown_choices_are_refused():
    for options in ({"mode": "drop"}, {"together": "room"}, {"families": ["wood"]}):
        with pytest.raises(ValueError, match="known"):
            PREPROCESS.build("instruments", **options)
    with pytest.raises(UsageError) as caught:
        PREPROCESS.build("instruments", mode="select", programs=["Violine"])
    assert caught.value.hint == "did you mean Violin?"
