import numpy as np
import pytest
from hypothesis import given, settings
from tests.support.scores import notes, score, scores, track

from aurl.midi.repair import (
    MAX_SILENT_BARS,
    Repair,
    drop_absurd_tempi,
    drop_bad_keys,
    drop_bad_meters,
    drop_duplicate_tracks,
    lengthen_empty_notes,
    mend_notes,
    merge_doubled_notes,
    repair,
    shift_earlier,
    trim_leading_silence,
)
from aurl.midi.score import Controls, KeySignatures, Tempos, Text, TimeSignatures, Track

ONE = np.zeros(9, np.int64)


def rows(table):
    return list(zip(*(getattr(table, name).tolist() for name in table._dtypes), strict=True))


def test_empty_notes_last_one_tick():
    changed, count = lengthen_empty_notes(notes((0, 0, 60, 64), (0, 5, 62, 64)))
    assert rows(changed) == [(0, 1, 60, 64), (0, 5, 62, 64)]
    assert count == 1


def test_doubled_notes_become_one_as_long_and_loud_as_the_most():
    table = notes((0, 5, 60, 90), (0, 9, 60, 30), (0, 7, 61, 64), (4, 7, 60, 64))
    changed, part, count = merge_doubled_notes(table, ONE[:4])
    assert rows(changed) == [(0, 9, 60, 90), (0, 7, 61, 64), (4, 7, 60, 64)]
    assert (part.tolist(), count) == ([0, 0, 0], 1)


def test_notes_of_two_tracks_are_no_doubles():
    table = notes((0, 5, 60, 90), (0, 5, 60, 90))
    assert merge_doubled_notes(table, np.array([0, 1]))[2] == 0
    assert mend_notes(table, np.array([0, 1]))[2] == []
    assert mend_notes(table, ONE[:2])[2] == [Repair("doubled_notes", 1)]


def test_a_note_ends_where_the_next_of_its_pitch_begins():
    table = notes((0, 100, 60, 64), (0, 100, 61, 64), (30, 10, 60, 64), (35, 5, 60, 64), (40, 1, 60, 64))
    changed, _, repairs = mend_notes(table, ONE[:5])
    assert rows(changed) == [(0, 30, 60, 64), (0, 100, 61, 64), (30, 5, 60, 64), (35, 5, 60, 64), (40, 1, 60, 64)]
    assert repairs == [Repair("overlapping_notes", 2)]


def test_notes_that_touch_are_left_alone():
    table = notes((0, 10, 60, 64), (10, 10, 60, 64))
    assert mend_notes(table, ONE[:2])[2] == []


def test_tempi_that_no_music_has():
    # 60,000,000 µs a minute: 4 BPM is 15,000,000 and 1,000 BPM is 60,000 µs a beat
    tempi = Tempos([0, 1, 2, 3, 4, 5], [0, 59_999, 60_000, 500_000, 15_000_000, 15_000_001])
    changed, repairs = drop_absurd_tempi(score(tempos=tempi))
    assert rows(changed.tempos) == [(2, 60_000), (3, 500_000), (4, 15_000_000)]
    assert repairs == [Repair("absurd_tempi", 3)]


def test_meters_with_a_zero():
    meters = TimeSignatures([0, 1, 2], [4, 0, 3], [4, 4, 0])
    changed, repairs = drop_bad_meters(score(time_signatures=meters))
    assert rows(changed.time_signatures) == [(0, 4, 4)]
    assert repairs == [Repair("bad_meters", 2)]


def test_keys_beyond_seven_accidentals():
    keys = KeySignatures([0, 1, 2, 3], [-7, 7, 8, -8], [False, True, False, False])
    changed, repairs = drop_bad_keys(score(key_signatures=keys))
    assert rows(changed.key_signatures) == [(0, -7, False), (1, 7, True)]
    assert repairs == [Repair("bad_keys", 2)]


def test_duplicate_tracks():
    row = (0, 10, 60, 64)
    kept = [track(row), track(row, program=5), track((0, 10, 60, 65)), track(row, is_drum=True)]
    changed, repairs = drop_duplicate_tracks(score(*kept, track(row), track(row, program=5)))
    assert changed.tracks == tuple(kept)
    assert repairs == [Repair("duplicate_tracks", 2)]


def test_the_lyrics_of_a_duplicate_are_kept():
    tune = notes((0, 10, 60, 64))
    changed, _ = drop_duplicate_tracks(score(Track(tune), Track(tune, lyrics=(Text(0, "la"),))))
    assert changed.tracks == (Track(tune, lyrics=(Text(0, "la"),)),)


def test_a_rest_of_four_bars_stays_and_five_bars_go():
    four, five = (score(track((bars * 128 + 32, 10, 60, 64))) for bars in (MAX_SILENT_BARS, MAX_SILENT_BARS + 1))
    assert trim_leading_silence(four) == (four, [])
    changed, repairs = trim_leading_silence(five)
    assert rows(changed.tracks[0].notes) == [(32, 10, 60, 64)]
    assert repairs == [Repair("leading_silence", 1)]


def test_whole_bars_go_where_the_meter_changes_in_the_rest():
    # two bars of 3/4 (96 ticks), then 6/8 (96 ticks): four whole bars until tick 700, which is 28 ticks into the next
    meters = TimeSignatures([0, 192], [3, 6], [4, 8])
    piece = score(track((700, 10, 60, 64)), time_signatures=meters, tempos=Tempos([0, 200, 690], [1, 2, 3]))
    changed, _ = trim_leading_silence(piece)
    assert changed.tracks[0].notes.onset.tolist() == [28]
    assert rows(changed.time_signatures) == [(0, 6, 8)]
    assert rows(changed.tempos) == [(0, 2), (18, 3)]


def test_bars_that_end_between_ticks_are_cut_in_groups():
    # 5/16 at 2 ticks a beat is 2.5 ticks a bar: only pairs of bars end on a tick
    meters = TimeSignatures([0], [5], [16])
    piece = score(track((18, 1, 60, 64)), ticks_per_beat=2, time_signatures=meters)
    changed, _ = trim_leading_silence(piece)
    assert changed.tracks[0].notes.onset.tolist() == [3]  # 18 − 6 bars of 2.5


def test_what_was_set_in_the_rest_is_set_at_the_new_start():
    part = Track(notes((600, 1, 60, 64)), controls=Controls([0, 590], [7, 64], [99, 1]), lyrics=(Text(600, "la"),))
    moved = shift_earlier(score(part, markers=(Text(3, "intro"), Text(700, "verse"))), 580)
    assert rows(moved.tracks[0].controls) == [(0, 7, 99), (10, 64, 1)]
    assert moved.tracks[0].lyrics == (Text(20, "la"),)
    assert moved.markers == (Text(0, "intro"), Text(120, "verse"))


@settings(deadline=None)
@given(scores(max_notes=30))
def test_after_repair_nothing_is_left_to_repair(piece):
    mended, repairs = repair(piece)
    assert repair(mended) == (mended, [])
    lost = piece.note_count - mended.note_count
    counts = {one.name: one.count for one in repairs}
    assert lost == 0 or counts.get("doubled_notes", 0) == lost or "duplicate_tracks" in counts
    for one in mended.tracks:
        assert not len(one.notes) or one.notes.duration.min() >= 1
        for pitch in np.unique(one.notes.pitch):
            same = one.notes.take(one.notes.pitch == pitch)
            assert (same.offset[:-1] <= same.onset[1:]).all()


@pytest.mark.parametrize("piece", [score(), score(track()), score(track(), track((0, 1, 60, 64)))])
def test_scores_without_faults_come_back_as_they_are(piece):
    mended, repairs = repair(piece)
    assert mended == piece
    assert repairs == []
