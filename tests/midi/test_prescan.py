import struct

import pytest
from tests.support.midi_bytes import END, chunk, header, midi

from aurl.midi import prescan as module
from aurl.midi.prescan import prescan
from aurl.midi.reasons import Rejected, RejectReason

NOTE = bytes.fromhex("00903c40 60803c40")
BODY = NOTE + END


def bodies(data):
    scan = prescan(data)
    return [scan.data[start:stop] for start, stop in scan.chunks]


def test_a_plain_file_is_left_as_it_is():
    data = midi(NOTE, NOTE, division=96)
    scan = prescan(data)
    assert scan.data is data or scan.data == data
    assert (scan.ticks_per_beat, scan.repairs, scan.suspicious) == (96, {}, False)
    assert bodies(data) == [BODY, BODY]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", RejectReason.EMPTY),
        (b"not a MIDI file", RejectReason.NOT_MIDI),
        (b"MThd\x00\x00", RejectReason.TRUNCATED),
        (header(2), RejectReason.TRUNCATED),
        (midi(NOTE, kind=2), RejectReason.FORMAT_2),
        (midi(NOTE, kind=7), RejectReason.UNKNOWN_FORMAT),
        (midi(NOTE, division=0xE728), RejectReason.SMPTE),
        (midi(NOTE, division=0), RejectReason.BAD_DIVISION),
        (chunk(b"\x00\x01", kind=b"MThd") + chunk(BODY), RejectReason.NOT_MIDI),
        (b"RIFF\x04\x00\x00\x00RMID", RejectReason.NOT_MIDI),
    ],
)
def test_what_is_no_piece_of_music_is_refused_by_name(data, reason):
    with pytest.raises(Rejected) as caught:
        prescan(data)
    assert caught.value.reason is reason


def test_smpte_frames_are_named():
    with pytest.raises(Rejected, match="25 frames per second"):
        prescan(midi(NOTE, division=0xE728))


def test_the_size_cap_is_the_callers():
    data = midi(NOTE)
    assert prescan(data, max_bytes=len(data)).chunks
    with pytest.raises(Rejected) as caught:
        prescan(data, max_bytes=len(data) - 1)
    assert caught.value.reason is RejectReason.TOO_LARGE


def test_a_riff_container_is_opened():
    inside = midi(NOTE)
    parts = b"DISP" + struct.pack("<I", 3) + b"abc\x00" + b"data" + struct.pack("<I", len(inside)) + inside
    riff = b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"RMID" + parts
    assert prescan(riff).data == inside


def test_foreign_chunks_are_skipped_without_a_word():
    data = header(1) + chunk(b"anything", kind=b"XFIH") + chunk(BODY)
    assert bodies(data) == [BODY]
    assert prescan(data).repairs == {}


@pytest.mark.parametrize(
    ("data", "expected", "repairs"),
    [
        (b"\x00" * 128 + midi(NOTE), [BODY], {"leading_bytes": 1}),
        (midi(NOTE) + b"\x00\x00", [BODY], {"foreign_bytes": 1}),
        (midi(NOTE) + b"\x1a" * 100, [BODY], {"foreign_bytes": 1}),
        (header(2) + chunk(BODY) + b"\x00\x01" + chunk(BODY), [BODY, BODY], {"foreign_bytes": 1}),
        (header(1) + chunk(BODY, length=99), [BODY], {"truncated_track": 1}),
        (header(2) + chunk(BODY, length=99) + chunk(BODY), [BODY, BODY], {"chunk_length": 1}),
        (header(2) + chunk(BODY, length=len(BODY) + 9) + chunk(BODY), [BODY, BODY], {"chunk_length": 1}),
        (header(2) + chunk(BODY, length=4) + chunk(BODY), [BODY, BODY], {"chunk_length": 1}),
        (header(1) + chunk(BODY, length=4), [BODY], {"chunk_length": 1}),
        (midi(NOTE, tracks=3), [BODY], {"missing_tracks": 2}),
        (midi(NOTE, NOTE, kind=0), [BODY, BODY], {"format_0_tracks": 1}),
    ],
)
def test_a_faulty_container_gives_up_its_tracks(data, expected, repairs):
    assert bodies(data) == expected
    assert prescan(data).repairs == repairs


def test_tracks_that_the_header_does_not_count_are_read_all_the_same():
    data = midi(NOTE, NOTE, NOTE, tracks=1)
    assert bodies(data) == [BODY] * 3
    assert prescan(data).data == midi(NOTE, NOTE, NOTE)


def test_a_longer_header_is_read():
    data = chunk(struct.pack(">HHH", 1, 1, 480) + b"more", kind=b"MThd") + chunk(BODY)
    assert prescan(data).data == midi(NOTE)


def test_too_many_tracks_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_TRACKS", 3)
    assert len(prescan(midi(*[NOTE] * 3)).chunks) == 3
    with pytest.raises(Rejected) as caught:
        prescan(midi(*[NOTE] * 4))
    assert caught.value.reason is RejectReason.TOO_MANY_TRACKS


def test_bytes_that_break_the_grammar_are_suspicious():
    assert prescan(midi("00f5 00903c40 60803c40")).suspicious
    assert prescan(midi("00903cc0 60803c40")).suspicious
