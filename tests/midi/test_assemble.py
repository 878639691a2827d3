from tests.support.midi_bytes import midi

from aurl.midi.assemble import STUCK_NOTE_BEATS
from aurl.midi.read import read_score
from aurl.midi.score import Text

# "00f5" (an undefined message) in front makes the file one for our own parser and no other.


def rows(table):
    return list(zip(*(getattr(table, name).tolist() for name in table._dtypes), strict=True))


def read(*bodies, **options):
    return read_score(midi(*bodies, **options))


def shape(score):
    return [(part.name, part.program, part.is_drum, rows(part.notes)) for part in score.tracks]


def test_one_track_for_each_chunk_channel_and_program():
    first = "00ff0303426f78 00c005 00903c40 00913d40 0a803c00 00813d00 00c006 00903e40 0a803e00"
    drums = "00ff03034b6974 00992440 0a892400"
    expected = [
        ("Box", 5, False, [(0, 10, 60, 64)]),
        ("Box", 6, False, [(10, 10, 62, 64)]),
        ("Box", 0, False, [(0, 10, 61, 64)]),
        ("Kit", 0, True, [(0, 10, 36, 64)]),
    ]
    assert shape(read(first, drums).score) == shape(read("00f5" + first, drums).score) == expected


def test_a_note_keeps_the_program_with_which_it_began():
    assert shape(read("00f500c005 00903c40 0ac006 0a803c00").score) == [("", 5, False, [(0, 20, 60, 64)])]


def test_controls_go_to_the_part_that_they_sound_in():
    body = "00b00763 00c005 00903c40 0a803c00 00c006 00b00a20 00903c40 0a803c00 00c007 00b00b10"
    for prefix in ("", "00f5"):
        first, second = read(prefix + body).score.tracks
        assert rows(first.controls) == [(0, 7, 99), (20, 11, 16)]  # those of a silent program go to the first part
        assert rows(second.controls) == [(10, 10, 32)]


def test_lyrics_go_to_their_chunk_or_else_to_the_first_track():
    sung = "00ff05024c61 00904340 0a804300 00ff05014c"
    words = "00ff0501 41 05ff050142"
    notes = "00903c40 0a803c00"
    for prefix in ("", "00f5"):
        score = read(prefix + notes, sung).score
        assert [part.lyrics for part in score.tracks] == [(), (Text(0, "La"), Text(10, "L"))]
        score = read(prefix + words, notes, notes + notes).score
        assert [part.lyrics for part in score.tracks] == [(Text(0, "A"), Text(5, "B")), ()]


def test_names_and_lyrics_in_latin_1_are_read():
    score = read("00ff0302e974 00ff0601e9 00903c40 0a803c00").score
    assert score.tracks[0].name == "ét"
    assert score.markers == (Text(0, "é"),)


def test_a_stuck_note_ends_with_its_track():
    result = read("00903c40 0a904050 0a804000")
    assert shape(result.score) == [("", 0, False, [(0, 20, 60, 64), (10, 10, 64, 80)])]
    assert result.repairs == {"stuck_notes": 1}


def test_a_stuck_note_ends_after_four_beats_at_the_latest():
    result = read("00903c40 00904050 ce20804000")  # 10,016 ticks
    assert rows(result.score.tracks[0].notes)[0] == (0, STUCK_NOTE_BEATS * 480, 60, 64)


def test_a_stuck_note_ends_with_all_notes_off_on_its_channel():
    result = read("00903c40 00913c40 0ab07b00 0a813c00 50904050 0a804000")
    assert shape(result.score)[0][3] == [(0, 10, 60, 64), (100, 10, 64, 80)]
    assert shape(result.score)[1][3] == [(0, 20, 60, 64)]
    assert result.repairs == {"stuck_notes": 1}


def test_short_meta_events_are_counted_and_left_out():
    result = read("00ff51020102 00ff580104 00ff590103 00903c40 0a803c00")
    assert result.repairs == {"short_meta_events": 3}
    assert not len(result.score.tempos)


def test_the_maps_of_all_chunks_are_one():
    first = "00ff510307a120 14ff5103061a80 00ff580206 03 00ff5902fd01"
    second = "0aff51030493e0 00ff58020708 00903c40 0a803c00"
    for prefix in ("", "00f5"):
        result = read(prefix + first, second)
        assert rows(result.score.tempos) == [(0, 500_000), (10, 300_000), (20, 400_000)]
        assert rows(result.score.time_signatures) == [(20, 6, 8)]
        assert rows(result.score.key_signatures) == [(20, -3, True)]
        assert result.repairs == {"bad_meters": 1} | ({"illegal_messages": 1} if prefix else {})
