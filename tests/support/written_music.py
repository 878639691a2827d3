"""Small pieces of written music, as text."""

import io
import zipfile

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
