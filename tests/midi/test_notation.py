import io
import os
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest
from tests.support.midi_files import tune
from tests.support.written_music import COMMON, DOCTYPE, HEAD, grace, musicxml, mxl, note, part

from aurl.midi import performance
from aurl.midi.notation import NOTATION_SUFFIXES, read_any, read_notation
from aurl.midi.performance import TICKS_PER_BEAT
from aurl.midi.read import read_score
from aurl.midi.reasons import Rejected, RejectReason

WHOLE = note("C4", 16)
ABC = "X:1\nT:A tune\nM:4/4\nL:1/4\nQ:1/4=90\nK:G\n"
KERN = "**kern\n*M4/4\n*k[f#]\n*G:\n"


def read(data, suffix=".xml", **options):
    return read_notation(data if isinstance(data, bytes) else data.encode(), suffix=suffix, **options)


def heard(result):
    """For each track its (onset, duration, pitch), in beats."""
    return [
        [
            (Fraction(onset, TICKS_PER_BEAT), Fraction(duration, TICKS_PER_BEAT), pitch)
            for onset, duration, pitch in zip(
                track.notes.onset.tolist(), track.notes.duration.tolist(), track.notes.pitch.tolist(), strict=True
            )
        ]
        for track in result.score.tracks
    ]


def texts(found):
    return [(text.tick / TICKS_PER_BEAT, text.text) for text in found]


def rejected(data, suffix=".xml", **options):
    with pytest.raises(Rejected) as caught:
        read(data, suffix, name="bad\x1b", **options)
    assert str(caught.value).startswith("bad\\x1b: ")
    assert caught.value.hint
    return caught.value.reason


def test_notes_chords_and_rests():
    body = note("C4", 4) + note("E4", 8) + note("G4", 8, chord=True) + note(None, 2) + note("Bb3", 2)
    result = read(musicxml(part(COMMON + body)))
    assert heard(result) == [[(0, 1, 60), (1, 2, 64), (1, 2, 67), (Fraction(7, 2), Fraction(1, 2), 58)]]
    assert result.repairs == {}


def test_tied_notes_are_one_also_across_bars_and_where_only_the_beginning_is_told():
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    bars = [note("C4", 16, start), note("C4", 16, stop + start), note("C4", 8, stop) + note("C4", 8, start), WHOLE]
    result = read(musicxml(part(COMMON + bars[0], *bars[1:])))
    assert heard(result) == [[(0, 10, 60), (10, 6, 60)]]


def test_a_pick_up_stands_at_the_end_of_a_bar():
    result = read(musicxml(part(COMMON + note("G4", 4), note("C5", 16), start=0)))
    assert heard(result) == [[(3, 1, 67), (4, 4, 72)]]
    assert result.score.time_signatures.tick.tolist() == [0]


def test_bars_that_are_too_short_do_not_shift_the_bar_lines_after_them():
    short = '<barline location="right"><bar-style>light-light</bar-style></barline>'
    bars = [COMMON + WHOLE, note("D4", 12) + short, note("E4", 16), note("F4", 16)]
    data = musicxml(part(*bars)).replace(b'<measure number="2">', b'<measure number="2" implicit="yes">')
    result = read(data)
    onsets = [onset for onset, _, _ in heard(result)[0]]
    meters = result.score.time_signatures
    assert onsets == [0, 4, 7, 11]
    assert [tick // TICKS_PER_BEAT for tick in meters.tick.tolist()] == [0, 7]
    assert set(meters.numerator.tolist()) == {4}


def test_many_short_bars_are_read_in_linear_time():
    # of each music21 asks for its meter, and without an answer goes through all that came before
    from music21.stream import Stream

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, "getContextByClass", lambda *found, **more: asked.append(found))
        result = read(musicxml(part(COMMON + WHOLE, *[note("D4", 8) + grace("E4") + note("F4", 4, chord=True)] * 50)))
    assert not asked
    assert result.score.end_tick == (4 + 50 * 2) * TICKS_PER_BEAT


def test_septuplets_are_exact():
    seventh = "<time-modification><actual-notes>7</actual-notes><normal-notes>4</normal-notes></time-modification>"
    divisions = COMMON.replace(">4</divisions>", ">7</divisions>")
    body = "".join(note(pitch, 4, "<type>quarter</type>" + seventh) for pitch in ("C4", "D4", "E4", "F4", "G4", "A4"))
    result = read(musicxml(part(divisions + body + note("B4", 4, seventh))))
    assert heard(result)[0] == [
        (Fraction(4 * place, 7), Fraction(4, 7), pitch) for place, pitch in enumerate((60, 62, 64, 65, 67, 69, 71))
    ]


def test_repeats_are_written_out_and_what_was_in_force_comes_back():
    opens = '<barline location="left"><repeat direction="forward"/></barline>'
    first = '<barline location="left"><ending number="1" type="start"/></barline>'
    closes = '<barline location="right"><ending number="1" type="stop"/><repeat direction="backward"/></barline>'
    second = '<barline location="left"><ending number="2" type="start"/></barline>'
    threes = "<attributes><time><beats>3</beats><beat-type>4</beat-type></time></attributes>"
    bars = [COMMON + WHOLE, opens + note("D4", 16), first + threes + note("E4", 12) + closes, second + note("F4", 12)]
    result = read(musicxml(part(*bars)))
    assert heard(result) == [[(0, 4, 60), (4, 4, 62), (8, 3, 64), (11, 4, 62), (15, 3, 65)]]
    meters = result.score.time_signatures
    assert [tick // TICKS_PER_BEAT for tick in meters.tick.tolist()] == [0, 8, 11, 15]
    assert meters.numerator.tolist() == [4, 3, 4, 3]


def words(text):
    """A direction that says something to the player."""
    return f"<direction><direction-type><words>{text}</words></direction-type></direction>"


def pitches(result):
    return [pitch for track in heard(result) for _, _, pitch in track]


def test_the_way_back_and_to_the_coda():
    sign = "<direction><direction-type><{}/></direction-type></direction>"
    bars = ["C4", "D4", "E4", "F4", "G4"]
    body = [COMMON + note(bars[0], 16), *(note(pitch, 16) for pitch in bars[1:])]
    segno = [body[0], sign.format("segno") + body[1], body[2] + sign.format("coda"), body[3], body[4]]
    segno[3] += words("D.S. al Coda")
    segno[4] = sign.format("coda") + segno[4]
    assert pitches(read(musicxml(part(*segno)))) == [60, 62, 64, 65, 62, 64, 67]
    capo = [*body[:1], body[1] + words("Fine"), body[2], body[3] + words("D.C. al Fine")]
    assert pitches(read(musicxml(part(*capo)))) == [60, 62, 64, 65, 60, 62]


def test_a_tempo_without_a_number_is_none():
    result = read((ABC + "C4|D4|").replace("1/4=90", '"giusto"'), ".abc")
    assert len(result.score.tempos) == 0
    assert pitches(result) == [60, 62]


def test_numbers_that_are_names_are_not_measured():
    title = b"<movement-title>9790006457823</movement-title>"
    data = musicxml(part(COMMON + WHOLE)).replace(b"<part-list>", title + b"<part-list>")
    assert pitches(read(data)) == [60]


def test_more_notes_than_a_piece_may_have(monkeypatch):
    monkeypatch.setattr(performance, "MAX_EVENTS", 3)
    assert read(musicxml(part(COMMON + note("C4", 4) * 3))).score.note_count == 3
    assert rejected(musicxml(part(COMMON + note("C4", 4) * 4))) is RejectReason.TOO_MANY_EVENTS


def test_transposing_instruments_sound_where_they_sound():
    clarinet = COMMON.replace(
        "</attributes>", "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>"
    )
    assert heard(read(musicxml(part(clarinet + note("D5", 16))))) == [[(0, 4, 72)]]


def test_grace_notes_sound_before_their_note():
    body = note("C4", 8) + grace("E4") + grace("F4") + note("G4", 8)
    result = read(musicxml(part(COMMON + body)))
    eighth = Fraction(1, 8)
    assert heard(result) == [
        [(0, 2, 60), (2 - 2 * eighth, eighth, 64), (2 - eighth, eighth, 65), (2, 2, 67)],
    ]
    assert result.repairs == {}


def test_grace_notes_at_the_very_start_have_no_time():
    result = read(musicxml(part(COMMON + grace("E4") + WHOLE)))
    assert heard(result) == [[(0, 4, 60)]]
    assert result.repairs == {"grace_notes": 1}


def test_tempo_key_dynamics_words_and_names():
    directions = (
        '<direction><direction-type><dynamics><p/></dynamics></direction-type><sound tempo="150"/></direction>'
        "<direction><direction-type><rehearsal>B</rehearsal></direction-type></direction>"
    )
    key = "<attributes><key><fifths>-3</fifths><mode>minor</mode></key></attributes>"
    lyric = "<lyric><syllabic>{}</syllabic><text>{}</text></lyric>"
    body = note("C4", 8, lyric.format("begin", "Hal")) + note("D4", 8, lyric.format("end", "lo"))
    loud = "<direction><direction-type><dynamics><ff/></dynamics></direction-type></direction>"
    score = read(musicxml(part(COMMON + key + directions + body, loud + WHOLE))).score
    assert score.tempos.microseconds_per_beat.tolist() == [400_000]
    assert (score.key_signatures.fifths.tolist(), score.key_signatures.minor.tolist()) == ([-3], [True])
    quiet, _, loudest = score.tracks[0].notes.velocity.tolist()
    assert quiet < 75
    assert loudest > 100
    assert texts(score.tracks[0].lyrics) == [(0, "Hal-"), (2, "lo")]
    assert texts(score.markers) == [(0, "B")]
    assert score.tracks[0].name == "Part 1"


def test_a_tempo_of_nothing_is_no_tempo():
    for tempo in ("0", "-3", "1e300"):
        result = read(musicxml(part(COMMON + f'<direction><sound tempo="{tempo}"/></direction>' + WHOLE)))
        assert len(result.score.tempos) == 0
        assert heard(result) == [[(0, 4, 60)]]


def test_chord_symbols_are_markers_and_do_not_sound():
    symbol = "<harmony><root><root-step>B</root-step><root-alter>-1</root-alter></root><kind>dominant</kind></harmony>"
    result = read(musicxml(part(COMMON + symbol + WHOLE)))
    assert heard(result) == [[(0, 4, 60)]]
    assert texts(result.score.markers) == [(0, "Bb7")]


def test_both_staves_of_a_piano_are_as_loud():
    staves = COMMON.replace("<time>", "<time>", 1).replace("</attributes>", "<staves>2</staves></attributes>")
    level = "<direction><direction-type><dynamics><pp/></dynamics></direction-type><staff>1</staff></direction>"
    back = "<backup><duration>16</duration></backup>"
    body = note("C5", 16, "<staff>1</staff>") + back + note("C3", 16, "<staff>2</staff>")
    tracks = read(musicxml(part(staves + level + body))).score.tracks
    assert [track.notes.pitch.tolist() for track in tracks] == [[72], [48]]
    assert tracks[0].notes.velocity.tolist() == tracks[1].notes.velocity.tolist() < [60]


def test_programs_and_drums():
    flute = (
        '<score-instrument id="I1"><instrument-name>Flute</instrument-name></score-instrument>'
        '<midi-instrument id="I1"><midi-channel>1</midi-channel><midi-program>74</midi-program></midi-instrument>'
    )
    kit = (
        '<score-instrument id="I2"><instrument-name>Bass Drum</instrument-name></score-instrument>'
        '<midi-instrument id="I2"><midi-channel>10</midi-channel><midi-unpitched>37</midi-unpitched></midi-instrument>'
    )
    hit = (
        "<note><unpitched><display-step>F</display-step><display-octave>4</display-octave></unpitched>"
        '<duration>16</duration><instrument id="I2"/></note>'
    )
    tracks = read(musicxml(part(COMMON + WHOLE), part(COMMON + hit), listed=[flute, kit])).score.tracks
    assert [(track.program, track.is_drum) for track in tracks] == [(73, False), (0, True)]
    assert tracks[1].notes.pitch.tolist() == [36]
    unknown = read(musicxml(part(COMMON + hit.replace('<instrument id="I2"/>', "")))).score.tracks
    assert [(track.is_drum, track.notes.pitch.tolist()) for track in unknown] == [(True, [38])]


def test_pitches_that_midi_has_no_number_for_are_left_out_and_counted():
    result = read(musicxml(part(COMMON + note("C4", 8) + note("C4", 8).replace("<octave>4", "<octave>11"))))
    assert heard(result) == [[(0, 2, 60)]]
    assert result.repairs == {"inaudible_notes": 1}


def test_bars_last_as_long_as_the_part_that_plays_in_them():
    longer = part(COMMON + note("C4", 16), note("D4", 4), note("E4", 16))
    resting = part(COMMON + note("C3", 16), note(None, 16), note("E3", 16))
    data = musicxml(longer, resting).replace(b'<measure number="2">', b'<measure number="2" implicit="yes">')
    first, second = heard(read(data))
    assert [onset for onset, _, _ in first] == [0, 4, 5]
    assert [onset for onset, _, _ in second] == [0, 5]


def test_abc():
    result = read(ABC + 'G,|"Am7"F2 (3GAB|[ce]4-|[ce]2 z2|]', ".abc")
    third = Fraction(2, 3)
    assert heard(result)[0][:5] == [
        (3, 1, 55),
        (4, 2, 66),
        (6, third, 67),
        (6 + third, third, 69),
        (6 + 2 * third, third, 71),
    ]
    assert texts(result.score.markers) == [(4, "Am7")]
    assert result.score.tempos.microseconds_per_beat.tolist() == [666_667]
    assert result.score.key_signatures.fifths.tolist() == [1]


def test_abc_repeats_with_endings():
    result = read(ABC + "|:C4|1 D4:|2 E4|]", ".abc")
    assert [(onset, pitch) for onset, _, pitch in heard(result)[0]] == [(0, 60), (4, 62), (8, 60), (12, 64)]


def test_abc_sections_side_by_side():
    assert pitches(read(ABC + "C4|D4::E4|G4:|", ".abc")) == [60, 62, 60, 62, 64, 67, 64, 67]


def test_bars_of_abc_are_as_long_as_they_are_written():
    result = read(ABC + "C4|D4E4|G4|", ".abc")
    assert [onset for onset, _, _ in heard(result)[0]] == [0, 4, 8, 12]
    longest = read(ABC + "C4|" + "DE" * 1000 + "|G4|", ".abc")  # music21 itself takes minutes for it
    assert longest.score.end_tick == 2008 * TICKS_PER_BEAT
    assert set(longest.score.time_signatures.numerator.tolist()) == {4}


def test_music21_is_left_as_it_was():
    from music21.abcFormat import translate

    usual = translate.reBar
    read(ABC + "C4|D4|", ".abc")
    rejected(ABC.replace("4/4", "4/0") + "C4|D4|", ".abc")
    assert translate.reBar is usual


def test_of_an_abc_book_the_first_tune_is_read():
    result = read("%a book\n" + ABC + "C4|\n\n" + ABC.replace("X:1", "X:2") + "D4|\n\nX:3\nK:C\nE4|\n", ".abc")
    assert [pitch for _, _, pitch in heard(result)[0]] == [60]
    assert result.repairs == {"further_tunes": 2}


def test_abc_voices_are_tracks():
    result = read(ABC + "V:1\nC4|D4|\nV:2\nE2F2|G4|\n", ".abc")
    assert [[pitch for _, _, pitch in track] for track in heard(result)] == [[60, 62], [64, 66, 67]]


def test_kern():
    head = "**kern\t**kern\n*M3/4\t*M3/4\n*MM90\t*MM90\n"
    two = head + "=1\t=1\n2.C\t4cc\n.\t4dd#\n.\t[4ee\n=2\t=2\n2.D\t4ee]\n.\t2r\n*-\t*-\n"
    assert heard(read(two, ".krn")) == [
        [(0, 1, 72), (1, 1, 75), (2, 2, 76)],
        [(0, 3, 48), (3, 3, 50)],
    ]


def test_kern_repeats_that_do_not_add_up_are_played_all_the_same():
    text = KERN + "=1\n1c\n=2:|!\n1d\n=3!|:\n1e\n==\n*-\n"
    assert [pitch for _, _, pitch in heard(read(text, ".krn"))[0]] == [60, 60, 62, 64]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_xml(encoding):
    text = musicxml(part(COMMON + WHOLE)).decode().replace("Part 1", "Flöte").replace("UTF-8", encoding[:6].strip("-"))
    assert read(text.encode(encoding)).score.tracks[0].name == "Flöte"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_of_text(encoding):
    assert heard(read((ABC.replace("A tune", "Köln") + "C4|").encode(encoding), ".abc")) == [[(0, 4, 60)]]


def test_mxl_holds_the_score_that_its_container_names():
    data = musicxml(part(COMMON + WHOLE))
    assert read(mxl(data), ".mxl") == read(data)
    assert read(mxl(data, container=False, name="a.xml"), ".mxl") == read(data)


def test_the_same_file_gives_the_same_score_in_every_process_and_nothing_else(tmp_path):
    path = tmp_path / "piece.abc"
    path.write_text(ABC + '|:"Am"{cd}C2E2|[FA]4:|"^odd"D4|E9|]')
    code = (
        "import sys, hashlib; from aurl.midi.notation import read_any; from aurl.midi.write import write_midi;"
        "r = read_any(open(sys.argv[1], 'rb').read(), name=sys.argv[1]);"
        "sys.stdout.write(hashlib.sha256(write_midi(r.score)).hexdigest() + repr(r.repairs))"
    )
    found = set()
    for seed in ("1", "2"):
        home = tmp_path / seed
        home.mkdir()
        places = {"HOME": str(home), "TMPDIR": str(home), "XDG_CONFIG_HOME": str(home), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], env={**os.environ, **places}, capture_output=True, check=True
        )
        assert done.stderr == b""
        assert not [file for file in home.rglob("*") if "matplotlib" not in str(file)]
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("x.mid", tune(1), "midi"),
        ("x.abc", tune(1), "midi"),  # what it is comes before what it is called
        ("", tune(1), "midi"),
        ("x.ABC", (ABC + "C4|").encode(), "abc"),
        ("/a/x.abc!/12", (ABC + "C4|").encode(), "abc"),
        ("/a/x.abc.gz!/12", (ABC + "C4|").encode(), "abc"),
        ("/a/x.abc.gz", (ABC + "C4|").encode(), "abc"),
        ("/a/b.zip!/c/x.krn", (KERN + "=1\n1c\n*-\n").encode(), "kern"),
        ("x.mxl", mxl(musicxml(part(COMMON + WHOLE))), "xml"),
        ("x", musicxml(part(COMMON + WHOLE)), "xml"),
        ("x.mid", musicxml(part(COMMON + WHOLE)), "xml"),
    ],
)
def test_a_file_is_read_as_what_it_is(name, data, kind):
    if kind == "midi":
        assert read_any(data, name=name) == read_score(data)
        assert read_any(data, name=name, bare=True) == read_score(data, bare=True)
    else:
        assert heard(read_any(data, name=name)) == [[(0, 4, 60)]]


def test_what_is_neither_is_midi_that_cannot_be_read():
    for name in ("x.mid", "x.zip!/3", "", "abc"):
        with pytest.raises(Rejected) as caught:
            read_any(b"neither", name=name)
        assert caught.value.reason is RejectReason.NOT_MIDI


BOMB = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
ENTITIES = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY a "ha">{BOMB}]>',
    "external": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "parameter": '<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>',
}


@pytest.mark.parametrize("declaration", ENTITIES.values(), ids=ENTITIES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(declaration, encoding):
    text = musicxml(part(COMMON + WHOLE), doctype=declaration).decode().replace("Part 1", "&a;")
    data = text.replace("UTF-8", encoding.upper()).encode(encoding)
    assert rejected(data) is RejectReason.UNSAFE
    assert rejected(mxl(data), ".mxl") is RejectReason.UNSAFE


def test_a_document_type_that_only_names_one_is_fine():
    assert DOCTYPE.encode() in musicxml(part(COMMON + WHOLE))


def test_what_is_packed_is_measured_before_it_is_unpacked():
    bomb = mxl(HEAD + " " * 2_000_000)
    assert len(bomb) < 10_000
    assert rejected(bomb, ".mxl", max_bytes=1_000_000) is RejectReason.TOO_LARGE
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", " " * 2_000_000)
        archive.writestr("a.xml", musicxml(part(COMMON + WHOLE)))
    assert heard(read(target.getvalue(), ".mxl")) == [[(0, 4, 60)]]


@pytest.mark.parametrize(
    ("data", "suffix", "reason"),
    [
        (b"", ".xml", RejectReason.EMPTY),
        (b"\x93\x01\xff" * 99, ".xml", RejectReason.MALFORMED),
        (b"\x93\x01\xff" * 99, ".mxl", RejectReason.MALFORMED),
        (b"\x93\x01\xff" * 99, ".abc", RejectReason.NOT_NOTATION),
        (b"\x93\x01\xff" * 99, ".krn", RejectReason.NOT_NOTATION),
        (b"PK" + b"\x93\x01\xff" * 99, ".mxl", RejectReason.MALFORMED),
        (mxl("no score", name="readme.txt", container=False), ".mxl", RejectReason.MALFORMED),
        (mxl(musicxml(part(COMMON + WHOLE)))[:-99], ".mxl", RejectReason.MALFORMED),
        (musicxml(part(COMMON + WHOLE))[:-30], ".xml", RejectReason.MALFORMED),
        (HEAD.encode(), ".xml", RejectReason.MALFORMED),
        (HEAD.replace("UTF-8", "none").encode() + b"<score-partwise/>", ".xml", RejectReason.MALFORMED),
        (HEAD.encode() + b"<mei/>", ".xml", RejectReason.NOT_NOTATION),
        (HEAD.encode() + b"<score-timewise/>", ".xml", RejectReason.NOT_NOTATION),
        (HEAD.encode() + b"<score-partwise/>", ".xml", RejectReason.NO_NOTES),
        (musicxml(part(COMMON + note(None, 16))), ".xml", RejectReason.NO_NOTES),
        (musicxml(part(COMMON + note("C4", 10**12))), ".xml", RejectReason.MALFORMED),
        (musicxml(part(COMMON + note("C4", 10**9))), ".xml", RejectReason.TICK_OVERFLOW),
        (musicxml(part(COMMON + note(None, 10**9) + WHOLE)), ".xml", RejectReason.TICK_OVERFLOW),
        (musicxml(part(COMMON.replace(">4</divisions>", ">0</divisions>") + WHOLE)), ".xml", RejectReason.MALFORMED),
        (musicxml(part(COMMON.replace(">4</divisions>", ">x</divisions>") + WHOLE)), ".xml", RejectReason.MALFORMED),
        (musicxml(part(COMMON.replace(">4</beats>", ">99999</beats>") + WHOLE)), ".xml", RejectReason.MALFORMED),
        (musicxml(part("<attributes><staves>99999999</staves></attributes>")), ".xml", RejectReason.MALFORMED),
        (
            musicxml(part('<barline><ending number="1-999999999" type="start"/></barline>')),
            ".xml",
            RejectReason.MALFORMED,
        ),
        ((ABC + "C900000|").encode(), ".abc", RejectReason.MALFORMED),
        ((ABC.replace("4/4", "9999/4") + "C|").encode(), ".abc", RejectReason.MALFORMED),
        ((ABC.replace("4/4", "4/0") + "C|").encode(), ".abc", RejectReason.MALFORMED),
        ((KERN + "=1\n" + "0" * 99 + "c\n*-\n").encode(), ".krn", RejectReason.MALFORMED),
        ((KERN + "=1\n4" + "c" * 999 + "\n*-\n").encode(), ".krn", RejectReason.MALFORMED),
    ],
)
def test_what_makes_no_sense_is_rejected_by_name(data, suffix, reason):
    assert rejected(data, suffix) is reason


def test_a_file_is_measured_before_it_is_looked_at():
    assert rejected(musicxml(part(COMMON + WHOLE)), max_bytes=100) is RejectReason.TOO_LARGE


def test_sections_are_not_played_a_million_times():
    repeat = '<barline location="right"><repeat direction="backward" times="1000000"/></barline>'
    assert read(musicxml(part(COMMON + WHOLE + repeat))).score.note_count <= 99


def _sounding(stream):
    """(onset, pitch) of all notes of a music21 stream, ties joined, repeats written out."""
    from music21 import harmony

    found = []
    for one in stream.toSoundingPitch().expandRepeats().parts:
        flat = one.stripTies(matchByPitch=True).flatten().notes
        found += [
            (Fraction(element.offset), pitch.midi)
            for element in flat
            if not isinstance(element, harmony.Harmony) and not element.duration.isGrace
            for pitch in element.pitches
        ]
    return sorted(found)


@pytest.mark.parametrize(
    "work",
    [
        "bach/bwv66.6.mxl",
        "bach/bwv269.mxl",
        "corelli/opus3no1/1grave.xml",
        "ryansMammoth/FishersHornpipe.abc",
        "palestrina/Agnus_02.krn",
        "leadSheet/fosterBrownHair.mxl",
    ],
)
def test_real_pieces_have_the_notes_that_music21_finds(work):
    import music21

    path = Path(music21.__file__).parent / "corpus" / work
    result = read_any(path.read_bytes(), name=str(path))
    theirs = music21.converter.parse(path, forceSource=True, storePickle=False)
    expected = _sounding(theirs.scores[0] if isinstance(theirs, music21.stream.Opus) else theirs)
    ours = sorted((onset, pitch) for track in heard(result) for onset, _, pitch in track)
    shift = ours[0][0] - expected[0][0]
    assert 0 <= shift < 4
    assert [(onset - shift, pitch) for onset, pitch in ours] == expected


def test_suffixes_are_in_lower_case_and_none_is_midi():
    assert all(suffix.islower() and "mid" not in suffix for suffix in NOTATION_SUFFIXES)
