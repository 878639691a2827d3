"""The three ways to look at the bytes agree with each other and with mido."""

import io

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.midi_bytes import midi
from tests.support.midi_streams import tracks

from aurl.midi.events import parse
from aurl.midi.prescan import prescan
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.skim import Irregular, skim
from aurl.midi.walk import walk

COLUMNS = ("chunk", "tick", "status", "first", "second")


def seen_by_mido(data):
    """(two-byte channel events, program changes) of a file as mido reads it."""
    events, programs = [], []
    for chunk, track in enumerate(mido.MidiFile(file=io.BytesIO(data)).tracks):
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "program_change":
                programs.append((chunk, message.channel, len(events), message.program))
            elif not message.is_meta and message.type not in ("sysex", "aftertouch"):
                events.append((chunk, tick, *message.bytes()))
    return events, programs


def rows(events):
    return list(zip(*(getattr(events, name).tolist() for name in COLUMNS), strict=True))


@settings(max_examples=150, deadline=None)
@given(tracks)
def test_columns_and_walk_hold_the_events_that_mido_reads(bodies):
    data = midi(*bodies)
    scan = prescan(data)
    parsed, (walked, repairs) = parse(data, scan.skim), walk(data, scan.chunks)
    expected, programs = seen_by_mido(data)
    assert rows(parsed) == rows(walked) == expected
    assert parsed.programs == walked.programs == programs
    assert parsed.metas == walked.metas
    assert parsed.ends == walked.ends
    assert not repairs
    assert scan.skim.channel_events == len(expected)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**21), min_size=1, max_size=20), st.sampled_from([b"\x90\x3c\x40", b"\xc0\x05"]))
def test_the_bound_on_ticks_is_above_the_ticks(deltas, message):
    from tests.support.midi_bytes import quantity

    from aurl.midi.skim import MAX_TICKS, _longest_ticks

    data = midi(b"".join(quantity(delta) + message for delta in deltas))
    found = skim(data, prescan(data).chunks)
    bound = _longest_ticks(np.frombuffer(data, np.uint8), found)
    assert bound >= sum(deltas)
    assert bool(found.doubt) == (bound >= MAX_TICKS)


@pytest.mark.parametrize(
    "body",
    [
        "00 90 3c 90 40 60 80 3c 40",  # a status in the middle of an event
        "00 90 90 3c 40 60 80 3c 40",  # two statuses
        "00 90 3c c0 60 80 3c 40",  # a data byte out of range
        "00 f0 01 f7 00 3c 40",  # running status after system-exclusive
        "00 ff 01 01 41 00 3c 40",  # running status after a meta event
        "00 f1 05 00 90 3c 40",  # a system message
        "80 80 80 80 00 90 3c 40",  # a delta time of five bytes
        "00 c0 85",  # a program out of range
        "00 90 3c 40 60",  # cut off before the end of track
    ],
)
def test_bytes_that_break_the_grammar_are_never_read_as_columns(body):
    data = midi(body)
    with pytest.raises(Irregular):
        parse(data, skim(data, [(22, len(data))]))


@pytest.mark.parametrize(
    ("body", "doubt"),
    [
        ("00 ff 51 02 01 02", "too short"),
        ("00 ff 58 01 04", "too short"),
        ("00 ff 59 00", "too short"),
        ("00 ff 03 01 e9", "UTF-8"),
        ("00 c0 05 00 c0 06", "several programs"),
        ("ff ff ff 7f 90 3c 40" * 8, "long pauses"),
    ],
)
def test_what_symusic_would_misread_is_doubted(body, doubt):
    data = midi(body)
    assert doubt in prescan(data).skim.doubt


@pytest.mark.parametrize(
    "body", ["00 ff 03 02 c3a9", "00 c0 05 00 c0 05 00 c1 06", "00 ff 05 01 41", "00 ff 51 03 07a120"]
)
def test_what_is_ordinary_is_not(body):
    assert prescan(midi(body)).skim.doubt == ""


def test_lyrics_are_located():
    assert prescan(midi("00ff0300", "00ff050161 00ff050162", "00ff0500")).skim.lyric_chunks == [1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("00903c40" + "003c40" * 3001, RejectReason.TOO_MANY_EVENTS),
        ("00d040" + "0040" * 3001, RejectReason.TOO_MANY_EVENTS),
        ("00ff0100" * 3001, RejectReason.TOO_MANY_EVENTS),
        ("00ff510307a120" * 301, RejectReason.TOO_MANY_TEMPI),
        ("00ff06016d" * 301, RejectReason.TOO_MANY_EVENTS),
    ],
    ids=["notes", "pressure", "empty metas", "tempi", "markers"],
)
@pytest.mark.parametrize("prefix", ["", "00f5"], ids=["skimmed", "walked"])
def test_bombs_are_refused(monkeypatch, body, reason, prefix):
    monkeypatch.setattr("aurl.midi.skim.MAX_EVENTS", 3000)
    monkeypatch.setattr("aurl.midi.skim.MAX_KEPT_METAS", 300)
    with pytest.raises(Rejected) as caught:
        read_events(midi(prefix + body))
    assert caught.value.reason is reason


@pytest.mark.parametrize("prefix", ["", "00f5"])
def test_a_track_of_2_31_ticks_is_refused(prefix):
    longest = "ffffff7f 903c40"
    fits, too_long = midi(prefix + longest * 7), midi(prefix + longest * 9)
    assert read_events(fits).tick[-1] == 7 * (2**28 - 1)
    with pytest.raises(Rejected) as caught:
        read_events(too_long)
    assert caught.value.reason is RejectReason.TICK_OVERFLOW


def read_events(data):
    scan = prescan(data)
    return parse(data, scan.skim) if scan.skim else walk(data, scan.chunks)[0]
