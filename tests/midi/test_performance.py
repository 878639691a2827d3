"""MusicXML as it sounds."""

from fractions import Fraction

import pytest
from tests.support.written_music import (
    ABC,
    COMMON,
    WHOLE,
    grace,
    heard,
    musicxml,
    note,
    part,
    pitches,
    read,
    rejected,
    texts,
    words,
)

from aurl.midi import performance
from aurl.midi.performance import TICKS_PER_BEAT
from aurl.midi.reasons import RejectReason


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


def test_a_negative_duration_that_leads_back_before_the_beginning_is_refused():
    back = note("C4", -40)
    assert rejected(musicxml(part(COMMON + back + note("D4", 4)))) is RejectReason.MALFORMED
    assert (
        rejected(musicxml(part(COMMON + back + "<direction><sound tempo='90'/></direction>"))) is RejectReason.MALFORMED
    )
    # a way back that is too long ends at the bar line
    assert heard(read(musicxml(part(COMMON + "<backup><duration>64</duration></backup>" + WHOLE))))[0][0][0] == 0


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
