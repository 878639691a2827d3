import dataclasses
import io

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symusic.core import ScoreTick
from tests.support.scores import notes, score, scores, track

from aurl.errors import AurlError
from aurl.midi.read import load_score, read_score
from aurl.midi.repair import repair
from aurl.midi.score import Controls, KeySignatures, Score, Tempos, Text, TimeSignatures, Track
from aurl.midi.write import MAX_DELTA, MAX_TICK, channels, save_midi, write_midi

TEXTS = st.lists(
    st.tuples(st.integers(0, 6000), st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)), max_size=4
)
CONTROLS = st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 127), st.integers(0, 127)), max_size=6)


def in_order(rows):
    return sorted(rows, key=lambda row: row[0])


@st.composite
def whole_scores(draw) -> Score:
    """Repaired scores with everything that a file can hold, and no track without notes."""
    piece, _ = repair(draw(scores()))
    parts = [
        dataclasses.replace(
            part,
            name=draw(st.text(st.characters(codec="utf-8"), max_size=12)),
            controls=Controls(*zip(*in_order(rows), strict=True)) if (rows := draw(CONTROLS)) else Controls(),
            lyrics=tuple(Text(*row) for row in in_order(draw(TEXTS))),
        )
        for part in piece.tracks
        if len(part.notes)
    ]
    markers = tuple(Text(*row) for row in in_order(draw(TEXTS)))
    return dataclasses.replace(piece, tracks=tuple(parts), markers=markers)


@settings(max_examples=150, deadline=None)
@given(whole_scores())
def test_what_is_written_is_read_back(piece):
    data = write_midi(piece)
    assert data == write_midi(piece)
    if piece.note_count:
        result = read_score(data)
        assert result.score == piece
        assert result.repairs == {}


def seen_by_mido(data):
    """(onset, duration, pitch, velocity) of each chunk, first on, first off; and the tempo, meter and key events."""
    file = mido.MidiFile(file=io.BytesIO(data))
    chunks, maps = [], []
    for chunk in file.tracks:
        tick, sounding, found = 0, {}, []
        for message in chunk:
            tick += message.time
            if message.type == "note_on" and message.velocity:
                sounding.setdefault(message.note, []).append((tick, message.velocity))
            elif message.type in ("note_on", "note_off"):
                onset, velocity = sounding[message.note].pop(0)
                found.append((onset, tick - onset, message.note, velocity))
            elif message.type in ("set_tempo", "time_signature", "key_signature"):
                maps.append((tick, message))
        assert not any(sounding.values())
        chunks.append(sorted(found, key=lambda row: (row[0], row[2])))
    return chunks, maps


def rows(table):
    return list(zip(*(getattr(table, name).tolist() for name in table._dtypes), strict=True))


@settings(max_examples=60, deadline=None)
@given(whole_scores())
def test_mido_reads_the_same(piece):
    chunks, maps = seen_by_mido(write_midi(piece))
    assert chunks[1:] == [rows(part.notes) for part in piece.tracks]
    tempi = [(tick, message.tempo) for tick, message in maps if message.type == "set_tempo"]
    meters = [(t, m.numerator, m.denominator) for t, m in maps if m.type == "time_signature"]
    keys = [(t, mido.midifiles.meta._key_signature_encode[m.key]) for t, m in maps if m.type == "key_signature"]
    assert tempi == rows(piece.tempos)
    assert meters == rows(piece.time_signatures)
    assert keys == [(tick, (fifths, int(minor))) for tick, fifths, minor in rows(piece.key_signatures)]


def test_the_bytes_of_a_small_score():
    piece = score(
        Track(notes((0, 32, 60, 64)), program=5, name="Box", controls=Controls([0], [64], [127])),
        tempos=Tempos([0], [500_000]),
        time_signatures=TimeSignatures([0], [6], [8]),
        key_signatures=KeySignatures([0], [-3], [True]),
        markers=(Text(200, "B"),),
    )
    conductor = "00ff5804 06030c08 00ff5902fd01 00ff510307a120 8148ff060142 00ff2f00"
    part = "00ff0303426f78 00c005 00b0407f 00903c40 20803c40 00ff2f00"
    expected = b"MThd" + bytes.fromhex("00000006 0001 0002 0020")
    for body in map(bytes.fromhex, (conductor, part)):
        expected += b"MTrk" + len(body).to_bytes(4, "big") + body
    assert write_midi(piece) == expected


def test_up_to_fifteen_melodic_tracks_have_a_channel_each():
    parts = [track(program=7) for _ in range(15)]
    assert channels([*parts[:3], track(is_drum=True), *parts[3:], track(is_drum=True)]) == [
        *[(channel, 0) for channel in (0, 1, 2, 9, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 9)]
    ]


def test_more_tracks_share_channels_by_program_and_then_take_another_port():
    parts = [track(program=program) for program in [*range(16), 3, 15]]
    found = channels(parts)
    assert found[3] == found[16]
    assert found[15] == found[17] == (0, 1)
    assert len(set(found)) == 16


@pytest.mark.parametrize("programs", [[0] * 40, list(range(40)), [*range(20)] * 2])
def test_forty_tracks_come_back(programs):
    parts = [track((i, 10, 60, 64), program=program) for i, program in enumerate(programs)]
    piece = score(*parts)
    assert read_score(write_midi(piece)).score == piece


def test_a_pause_longer_than_a_delta_time_is_written_in_steps():
    piece = score(track((0, 1, 60, 64), (MAX_TICK - 1, 1, 60, 64)))
    data = write_midi(piece)
    assert read_score(data).score == piece
    assert ScoreTick.from_midi(data).tracks[0].notes[1].time == MAX_TICK - 1
    assert MAX_TICK // MAX_DELTA == 8


@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        (score(track((MAX_TICK, 1, 60, 64))), "ticks"),
        (score(track((-1, 1, 60, 64))), "ticks"),
        (score(tempos=Tempos([0], [2**24])), "tempo"),
        (score(tempos=Tempos([0], [0])), "tempo"),
        (score(time_signatures=TimeSignatures([0], [4], [3])), "meter"),
        (score(time_signatures=TimeSignatures([0], [256], [4])), "meter"),
        (score(key_signatures=KeySignatures([0], [8], [False])), "key"),
        (score(ticks_per_beat=0), "ticks per beat"),
        (score(ticks_per_beat=2**15), "ticks per beat"),
    ],
)
def test_what_the_format_cannot_say_is_refused(piece, fault):
    with pytest.raises(AurlError, match=fault):
        write_midi(piece)


def test_empty_notes_begin_before_they_end():
    piece = score(track((0, 5, 60, 64), (5, 0, 60, 64), (5, 0, 61, 64), (5, 3, 62, 64)))
    chunks, _ = seen_by_mido(write_midi(piece))
    assert chunks[1] == rows(piece.tracks[0].notes)


def test_a_score_without_tracks_is_a_file_of_its_maps():
    piece = score(tempos=Tempos([0], [400_000]))
    chunks, maps = seen_by_mido(write_midi(piece))
    assert chunks == [[]]
    assert [message.tempo for _, message in maps] == [400_000]


def test_saving_replaces_the_file_whole(tmp_path):
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    piece = score(track((0, 1, 60, 64)))
    save_midi(piece, path)
    assert load_score(path).score == piece
    with pytest.raises(AurlError):
        save_midi(score(ticks_per_beat=0), path)
    assert load_score(path).score == piece
    assert [file.name for file in tmp_path.iterdir()] == ["piece.mid"]
