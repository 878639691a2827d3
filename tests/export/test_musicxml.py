"""MusicXML is read back by music21 and by our own reader; durations and values are worked out by hand."""

import io
import zipfile
from xml.etree.ElementTree import fromstring

import music21
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.support.scores import notes, score, scores, track

from aurl.export.musicxml import musicxml, packed, save_musicxml
from aurl.export.notation_grid import sheet
from aurl.export.note_values import voices, written
from aurl.export.percussion import drum_name
from aurl.export.spelling import spelling
from aurl.midi.notation import read_notation
from aurl.midi.score import KeySignatures, Score, Tempos, Text, TimeSignatures, Track

TUNE = score(
    track((0, 32, 72, 90), (32, 48, 76, 60), (80, 80, 77, 127), (0, 128, 48, 80), program=0),
    track((0, 16, 36, 100), (0, 16, 42, 70), (32, 16, 38, 100), is_drum=True),
    tempos=Tempos([0, 64], [600_000, 400_000]),
    time_signatures=TimeSignatures([0], [3], [4]),
    key_signatures=KeySignatures([0], [-3], [True]),
)


def root(given_score):
    return fromstring(musicxml(given_score).split(b"\n", 2)[2])


def texts(element, path):
    return [found.text for found in element.iterfind(path)]


def sounding(element, divisions):
    """(onset, end, pitch) in divisions of every note of a part, ties joined, as the standard says how to read them."""
    steps = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
    begin, found, open_ties = 0, [], {}
    for measure in element.iterfind("measure"):
        place = begin
        longest = begin
        for item in measure:
            length = int(item.findtext("duration", "0"))
            if item.tag == "backup":
                place -= length
            if item.tag != "note":
                continue
            if item.find("chord") is not None:
                place -= length
            if item.find("pitch") is not None:
                up = int(item.findtext("pitch/octave")) * 12 + int(item.findtext("pitch/alter", "0"))
                key = (item.findtext("voice"), up + 12 + steps[item.findtext("pitch/step")])
                ties = {tie.get("type") for tie in item.iterfind("tie")}
                onset = open_ties.pop(key) if "stop" in ties else place
                if "start" in ties:
                    open_ties[key] = onset
                else:
                    found.append((onset, place + length, key[1]))
            place += length
            longest = max(longest, place)
        begin = longest
    assert not open_ties
    return sorted(found)


def test_music21_reads_what_was_written():
    """Times in quarters by hand: a quarter, 1.5, and 2.5 over the bar line."""
    parsed = music21.converter.parseData(musicxml(TUNE), format="musicxml").stripTies()
    found = sorted(
        (float(element.getOffsetInHierarchy(parsed)), float(element.quarterLength), pitch.midi)
        for element in parsed.recurse().notes
        if isinstance(element, music21.note.Note | music21.chord.Chord)
        for pitch in element.pitches
    )
    assert found == [(0, 1, 72), (0, 4, 48), (1, 1.5, 76), (2.5, 2.5, 77)]
    assert [mark.number for mark in parsed.parts[0].recurse().getElementsByClass("MetronomeMark")] == [100, 150]
    assert parsed.recurse().getElementsByClass("KeySignature").first().sharps == -3
    assert parsed.recurse().getElementsByClass("TimeSignature").first().ratioString == "3/4"


def test_our_reader_reads_notes_velocities_and_maps():
    again = read_notation(musicxml(TUNE), suffix=".musicxml").score
    tick = again.ticks_per_beat
    rows = sorted(
        (onset / tick, length / tick, pitch, velocity)
        for part in again.tracks
        if not part.is_drum
        for onset, length, pitch, velocity in zip(
            part.notes.onset, part.notes.duration, part.notes.pitch, part.notes.velocity, strict=True
        )
    )
    assert rows == [(0, 1, 72, 90), (0, 4, 48, 80), (1, 1.5, 76, 60), (2.5, 2.5, 77, 127)]
    assert again.tempos.microseconds_per_beat.tolist() == [600_000, 400_000]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scores())
def test_any_score_is_written_whole(any_score):
    """Every note of the grid comes back, every bar is full in every voice, and values say what durations say."""
    page, document = sheet(any_score), root(any_score)
    tables = [(part, table) for part, table in zip(any_score.tracks, page.notes, strict=True) if len(table)]
    for element, (part, table) in zip(document.iterfind("part"), tables, strict=False):
        if not part.is_drum:
            rows = zip(table.onset.tolist(), table.offset.tolist(), table.pitch.tolist(), strict=True)
            assert sounding(element, page.divisions) == sorted(rows)
    values = {
        name: 8.0 / 2**power
        for power, name in enumerate(("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th"))
    }
    for note in document.iter("note"):
        if note.find("type") is not None:
            quarters = values[note.findtext("type")] * (1.5 if note.find("dot") is not None else 1)
            quarters *= 2 / 3 if note.find("time-modification") is not None else 1
            assert quarters * page.divisions == pytest.approx(int(note.findtext("duration")))


def test_beats_in_three_are_triplets_and_others_are_not():
    triplet = [(n * 32, 32, 60 + n, 90) for n in range(3)]
    straight = [(96 + n * 24, 24, 60 + n, 90) for n in range(4)]
    document = root(score(track(*triplet, *straight, program=40), ticks_per_beat=96))
    marked = [
        note.find("time-modification") is not None for note in document.iter("note") if note.find("pitch") is not None
    ]
    assert marked == [True] * 3 + [False] * 4
    assert [mark.get("type") for mark in document.iter("tuplet")] == ["start", "stop"]


def test_loose_playing_falls_on_the_grid():
    """Misses of up to a fiftieth of a beat; the second beat is played in three."""
    loose = track((5, 200, 60, 90), (235, 200, 62, 90), (485, 150, 64, 90), (637, 160, 65, 90), (803, 150, 67, 90))
    placed = sheet(score(loose, ticks_per_beat=480)).notes[0]
    assert placed.onset.tolist() == [0, 6, 12, 16, 20]
    assert placed.offset.tolist() == [6, 12, 16, 20, 24]


def test_drums_last_until_the_next_one_or_the_end_of_the_beat():
    hits = score(track((0, 1, 36, 90), (16, 1, 42, 90), (40, 1, 38, 90), is_drum=True))
    assert sheet(hits).notes[0].offset.tolist() == [6, 12, 24]


def test_piano_has_two_staves_where_it_goes_to_both_sides():
    piano, flute = (root(score(track((0, 32, 48, 90), (0, 32, 72, 90), program=program))) for program in (0, 73))
    assert (texts(piano, ".//staves"), texts(flute, ".//staves")) == (["2"], [])
    assert texts(piano, ".//clef/sign") == ["G", "F"]
    assert texts(piano, ".//backup/duration") == ["48"]
    assert texts(root(score(track((0, 32, 36, 90), program=32))), ".//clef/sign") == ["F"]


def test_notes_that_overlap_have_two_voices():
    table = notes((0, 64, 60, 90), (0, 32, 72, 90), (32, 32, 71, 90), (0, 32, 76, 90))
    upper, lower = voices(table)
    assert sorted(table.pitch[upper].tolist()) == [71, 72, 76]
    assert table.pitch[lower].tolist() == [60]


def test_bar_of_rest_is_a_rest_of_the_whole_bar():
    first, second = written(notes((60, 12, 60, 90)), [0], np.array([0, 48, 96]), 12)
    assert [(symbol.begin, symbol.end, symbol.value) for symbol in first] == [(0, 48, None)]
    assert [symbol.notes for symbol in second] == [(), (0,), ()]


def test_every_drum_is_an_instrument_of_its_own():
    document = root(TUNE)
    drums = document.findall("part-list/score-part")[1]
    assert texts(drums, "score-instrument/instrument-name") == ["Bass Drum 1", "Acoustic Snare", "Closed Hi-Hat"]
    assert texts(drums, "midi-instrument/midi-unpitched") == ["37", "39", "43"]
    assert set(texts(drums, "midi-instrument/midi-channel")) == {"10"}
    assert document.findall("part")[1].find(".//unpitched") is not None
    assert drum_name(90) == "Drum 90"


@pytest.mark.parametrize(
    ("fifths", "pitch", "name"),
    [
        (0, 60, ("C", 0, 4)),
        (0, 61, ("C", 1, 4)),
        (0, 70, ("B", -1, 4)),
        (-3, 63, ("E", -1, 4)),
        (-5, 61, ("D", -1, 4)),
        (4, 68, ("G", 1, 4)),
        (7, 60, ("B", 1, 3)),
        (-7, 59, ("C", -1, 4)),
    ],
)
def test_names_of_notes_follow_the_key(fifths, pitch, name):
    assert spelling(fifths)(pitch) == name


def test_lowest_notes_are_written_an_octave_up():
    document = root(score(track((0, 32, 0, 90), program=40)))
    assert (texts(document, ".//octave"), texts(document, ".//octave-change")) == (["0"], ["-1"])


def test_markers_titles_and_names_are_text(tmp_path):
    marked = Score(
        tracks=(Track(TUNE.tracks[0].notes, name="<b>&\x00"),), markers=(Text(480, "Am"),), ticks_per_beat=32
    )
    save_musicxml(marked, tmp_path / "a.musicxml", title="x\x07<y>")
    document = fromstring((tmp_path / "a.musicxml").read_bytes().split(b"\n", 2)[2])
    assert (texts(document, ".//words"), texts(document, ".//work-title")) == (["Am"], ["x<y>"])
    assert texts(document, ".//part-name") == ["<b>&"]


@pytest.mark.parametrize("empty", [Score(), score(track())])
def test_score_without_notes_is_a_bar_of_rest(empty):
    document = root(empty)
    assert len(document.findall("part/measure")) == 1
    assert document.find(".//rest").get("measure") == "yes"


def test_packed_file_is_the_same_every_time(tmp_path):
    save_musicxml(TUNE, tmp_path / "a.mxl")
    data = (tmp_path / "a.mxl").read_bytes()
    assert data == packed(musicxml(TUNE))
    assert zipfile.ZipFile(io.BytesIO(data)).read("score.musicxml") == musicxml(TUNE)
    assert read_notation(data, suffix=".mxl").score == read_notation(musicxml(TUNE), suffix=".xml").score
