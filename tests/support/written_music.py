"""Small pieces of written music, as text."""

import io
import zipfile
from fractions import Fraction

import pytest

from aurl.midi.notation import read_notation
from aurl.midi.performance import TICKS_PER_BEAT
from aurl.midi.reasons import Rejected

HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
DOCTYPE = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.1 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">'
)
COMMON = "<attributes><divisions>4</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
"""Sixteenths are one division; 4/4."""


def note(pitch, duration, inner="", *, chord=False):
    """A note such as `C4` or `F#5` of so many divisions; `None` is a rest."""
    if pitch is None:
        what = "<rest/>"
    else:
        alter = f"<alter>{pitch.count('#') - pitch.count('b')}</alter>"
        what = f"<pitch><step>{pitch[0]}</step>{alter}<octave>{pitch[-1]}</octave></pitch>"
    return f"<note>{'<chord/>' * chord}{what}<duration>{duration}</duration>{inner}</note>"


def grace(pitch):
    """A grace note with a slash."""
    return note(pitch, 0).replace("<note>", '<note><grace slash="yes"/>').replace("<duration>0</duration>", "")


def part(*measures, start=1):
    """The measures of one part, numbered."""
    return "".join(f'<measure number="{number}">{body}</measure>' for number, body in enumerate(measures, start))


def musicxml(*parts, listed=None, doctype=DOCTYPE):
    """Bytes of a MusicXML file; `listed` holds what the part list says of each part."""
    listed = listed or [""] * len(parts)
    names = "".join(
        f'<score-part id="P{number}"><part-name>Part {number}</part-name>{more}</score-part>'
        for number, more in enumerate(listed, 1)
    )
    bodies = "".join(f'<part id="P{number}">{body}</part>' for number, body in enumerate(parts, 1))
    text = f'{HEAD}{doctype}<score-partwise version="3.1"><part-list>{names}</part-list>{bodies}</score-partwise>'
    return text.encode()


def mxl(text, *, name="score.musicxml", container=True, method=zipfile.ZIP_DEFLATED):
    """Bytes of an MXL file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        if container:
            archive.writestr("META-INF/container.xml", f'<container><rootfile full-path="{name}"/></container>')
        archive.writestr(name, text)
    return target.getvalue()


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


def words(text):
    """A direction that says something to the player."""
    return f"<direction><direction-type><words>{text}</words></direction-type></direction>"


def pitches(result):
    return [pitch for track in heard(result) for _, _, pitch in track]
