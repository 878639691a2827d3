import io
import re
import tracemalloc
from contextlib import suppress

import mido
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.support.midi_bytes import END, chunk, header, midi
from tests.support.midi_files import tune
from tests.support.midi_streams import tracks, tunes

from aurl.midi.assemble import assemble
from aurl.midi.columns import from_symusic
from aurl.midi.events import parse
from aurl.midi.prescan import prescan
from aurl.midi.read import load_score, read_score
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.repair import repair_notes

NOTE = "00903c40 60803c40"


def rows(table):
    return list(zip(*(getattr(table, name).tolist() for name in table._dtypes), strict=True))


def note_ons(data):
    """Note-ons in the bytes, as mido reads them."""
    file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    return sum(m.type == "note_on" and m.velocity > 0 for track in file.tracks for m in track)


@settings(max_examples=200, deadline=None)
@given(tracks)
def test_no_note_of_the_bytes_is_lost_without_a_word(bodies):
    data = midi(*bodies)
    expected = note_ons(data)
    if not expected:
        with pytest.raises(Rejected) as caught:
            read_score(data)
        assert caught.value.reason is RejectReason.NO_NOTES
        return
    result = read_score(data)
    merged = result.repairs.get("doubled_notes", 0)
    if "duplicate_tracks" not in result.repairs:
        assert result.score.note_count + merged == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(tunes(), min_size=1, max_size=3))
def test_what_symusic_accounts_for_is_what_our_own_parser_reads(bodies):
    scan = prescan(midi(*bodies))
    theirs = None if scan.suspicious else from_symusic(scan.data, scan.skim)
    event("read by symusic" if theirs is not None else "not read by symusic")
    if theirs is not None:
        ours, found = assemble(parse(scan.data, scan.skim), scan.ticks_per_beat)
        assert theirs == repair_notes(ours)
        assert not found


@settings(max_examples=100, deadline=None)
@given(tracks)
def test_a_bare_score_has_the_same_notes_and_maps(bodies):
    data = midi(*bodies)
    try:
        whole = read_score(data)
    except Rejected as rejected:
        with pytest.raises(Rejected, match=re.escape(str(rejected))):
            read_score(data, bare=True)
        return
    bare = read_score(data, bare=True)
    assert bare.repairs == whole.repairs
    assert [(t.notes, t.program, t.is_drum) for t in bare.score.tracks] == [
        (t.notes, t.program, t.is_drum) for t in whole.score.tracks
    ]
    for name in ("ticks_per_beat", "tempos", "time_signatures", "key_signatures"):
        assert getattr(bare.score, name) == getattr(whole.score, name)


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_files_are_read_through_symusic_and_need_no_repair(seed):
    data = tune(seed)
    scan = prescan(data)
    assert from_symusic(scan.data, scan.skim) == (read_score(data).score, [])
    assert read_score(data).score.note_count == note_ons(data)


@pytest.mark.parametrize(
    ("data", "expected", "repairs"),
    [
        # a stray end of track: mido reads on, symusic stops
        (midi(NOTE + "00ff2f00" + NOTE), [(0, 96, 60, 64), (96, 96, 60, 64)], {"notes_after_end": 1}),
        (midi(NOTE + "00ff2f00" + "0000"), [(0, 96, 60, 64)], {"bytes_after_end": 1}),
        (header(1) + chunk(bytes.fromhex(NOTE)), [(0, 96, 60, 64)], {"missing_end_of_track": 1}),
        (
            header(1) + chunk(bytes.fromhex(NOTE + "00904040 6080"), length=40),
            [(0, 96, 60, 64), (96, 96, 64, 64)],
            {"truncated_track": 1, "cut_off_events": 1, "missing_end_of_track": 1, "stuck_notes": 1},
        ),
        (midi("0090bc40 6080bc40"), [(0, 96, 127, 64)], {"out_of_range_bytes": 2}),
        (midi("00f4" + NOTE + "00f105 00f20102 00fe"), [(0, 96, 60, 64)], {"illegal_messages": 4}),
        (midi("00f7030102f7" + NOTE), [(0, 96, 60, 64)], {}),
        (midi("00903c40 00ff010141 60 3c00"), [(0, 96, 60, 64)], {}),  # running status across a meta event
        (midi("00903c40 00803c40"), [(0, 1, 60, 64)], {"zero_length_notes": 1}),
        (midi("00803c40" + NOTE), [(0, 96, 60, 64)], {}),  # an off too many
        (midi(NOTE, NOTE), [(0, 96, 60, 64)], {"duplicate_tracks": 1}),
    ],
)
def test_faulty_events(data, expected, repairs):
    result = read_score(data)
    assert sorted(row for part in result.score.tracks for row in rows(part.notes)) == expected
    assert result.repairs == repairs


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (midi("003c40" + NOTE), RejectReason.MALFORMED),  # no status at all
        (midi("8181818100" + NOTE), RejectReason.MALFORMED),
        (midi("ffffff7f903c40" * 9), RejectReason.TICK_OVERFLOW),
        (midi("00903c40 60bcbc40" * 9), RejectReason.MALFORMED),  # more noise than notes
        (midi(""), RejectReason.NO_NOTES),
        (midi("00903c00"), RejectReason.NO_NOTES),
        (header(0), RejectReason.NO_NOTES),
    ],
)
def test_what_makes_no_sense_is_rejected_by_name(data, reason):
    with pytest.raises(Rejected) as caught:
        read_score(data, name="bad\x1b.mid")
    assert caught.value.reason is reason
    assert str(caught.value).startswith("bad\\x1b.mid: ")
    assert caught.value.hint


def test_a_pause_that_symusic_wraps_is_kept():
    # eight deltas of 2^28 − 1 make 2,147,483,640 ticks, which is below 2^31
    data = midi("ffffff7f b00740" * 7 + "ffffff7f 903c40 07 803c40")
    assert rows(read_score(data).score.tracks[0].notes)[0][1] == 7


def test_a_file_is_measured_before_it_is_read(tmp_path):
    path = tmp_path / "huge.mid"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(Rejected) as caught:
        load_score(path)
    assert caught.value.reason is RejectReason.TOO_LARGE
    assert "huge.mid" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.mid", tmp_path):
        with pytest.raises(Rejected) as caught:
            load_score(path)
        assert caught.value.reason is RejectReason.UNREADABLE


def test_a_file_is_read_as_its_bytes(tmp_path):
    path = tmp_path / "tune.mid"
    path.write_bytes(tune(1))
    assert load_score(path) == read_score(tune(1))


@pytest.mark.parametrize(
    "body",
    [
        "ffffff7f903c40 ffffff7f803c40" * 3,  # the longest pauses
        "00ff017f" + "41" * 127 + NOTE,
        "00f0ffffff7f" + NOTE,  # a system-exclusive message of 256 MB
        "00ff51ffffff7f" + NOTE,
    ],
)
def test_lengths_in_the_file_take_no_memory(body):
    data = midi(body)
    tracemalloc.start()
    with suppress(Rejected):
        read_score(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_stacked_note_ons_cost_no_more_than_others():
    count = 50_000  # where miditoolkit takes minutes
    stacked = bytes.fromhex("00903c40") + bytes.fromhex("003c40") * (count - 1)
    result = read_score(header(1) + chunk(stacked + bytes.fromhex("00803c40") * 3 + END))
    assert result.repairs["doubled_notes"] == count - 1
    assert result.score.note_count == 1


@pytest.mark.parametrize("byte", [0x00, 0x40, 0x80, 0x90, 0xC0, 0xF0, 0xFF])
def test_a_million_times_one_byte_is_soon_refused(byte):
    # a delta time without an end was once added up bit by bit, for hours
    with pytest.raises(Rejected):
        read_score(midi(bytes([byte]) * 1_000_000))


def test_thousands_of_tracks_that_are_nearly_alike_are_soon_compared():
    body = b"".join(bytes([0, 0x90 | c, p, 64, 0, 0x80 | c, p, 64]) for c in range(9) for p in (40, 41))
    bodies = [body[: 8 * (1 + i % 18)].replace(b"\x40\x00\x80", bytes([1 + i % 127, 0, 0x80])) for i in range(2000)]
    assert read_score(midi(*bodies)).score.note_count > 100


def test_drums_and_names_and_order():
    data = midi("00ff0303 4b6974 00992440 00992640 60892400 00892600", "00c018 00903c40 00904040 60803c00 00804000")
    score = read_score(data).score
    assert [(part.name, part.is_drum, part.program) for part in score.tracks] == [("Kit", True, 0), ("", False, 24)]
    assert all(np.all(np.diff(part.notes.pitch.astype(int)) > 0) for part in score.tracks)
