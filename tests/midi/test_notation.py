import io
import os
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest
from tests.support.midi_files import tune
from tests.support.written_music import (
    ABC,
    COMMON,
    DOCTYPE,
    HEAD,
    KERN,
    WHOLE,
    heard,
    musicxml,
    mxl,
    note,
    part,
    pitches,
    read,
    rejected,
    texts,
)

from aurl.midi.notation import NOTATION_SUFFIXES, read_any
from aurl.midi.performance import TICKS_PER_BEAT
from aurl.midi.read import read_score
from aurl.midi.reasons import Rejected, RejectReason


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
