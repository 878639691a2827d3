"""Bytes of a MusicXML or MXL file → its root element, checked before anything else looks at it."""

import re
import zipfile
from contextlib import suppress
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.parsers.expat import ExpatError, ParserCreate

from aurl.midi.plaintext import MAX_BEATS
from aurl.midi.reasons import Rejected, RejectReason, printable

_ROOT = "score-partwise"
_CONTAINER = "META-INF/container.xml"
_MAX_CONTAINER_BYTES = 2**16
_SCORE_PATH = re.compile(rb"""full-path\s*=\s*["']([^"']+)["']""")
_SCORE_SUFFIXES = (".musicxml", ".xml")
_LARGEST = {
    "staves": 16,
    "fifths": 7,
    "beats": MAX_BEATS,
    "beat-type": 1024,
    "octave": 12,
    "alter": 4,
    "diatonic": 100,
    "chromatic": 100,
    "octave-change": 10,
    "actual-notes": 1000,
    "normal-notes": 1000,
    "divisions": 10**9,
    "duration": 10**11,
}
"""How far numbers make sense; music21 counts up to some of them step by step."""
_MAX_DIGITS = 12
_MAX_ENDING = 32
"""Characters of the list of passes that an ending is for: `1-999999999` is short, too, but `1, 2, 3` is all it is."""
_MAX_PASS_DIGITS = 2


class _Found(Exception):  # noqa: N818 - no error: it ends the look at the prologue
    """The root element begins."""


def musicxml_root(data: bytes, *, max_bytes: int) -> Element:
    """The root element of the score in an XML file, or in a zip file that holds one.

    Raises:
        Rejected: it is no MusicXML, or no harmless one.
    """
    text = _unpacked(data, max_bytes) if data[:2] == b"PK" else data
    try:
        name = _root_name(text)
        if name != _ROOT:
            fault = f"its root element is <{printable(name[:40])}>, not <{_ROOT}>"
            raise Rejected(RejectReason.NOT_NOTATION, fault)
        root = fromstring(text)  # noqa: S314 - files that declare entities were refused
    except (ExpatError, ParseError, ValueError, LookupError) as error:
        raise Rejected(RejectReason.MALFORMED, f"broken XML: {error}") from error
    for element in root.iter():
        _check_numbers(element)
    for part in root.iterfind("part"):
        _restate_meter(part)
    return root


def _root_name(text: bytes) -> str:
    """Name of the root element; what stands before it may name a document type, but not declare anything.

    Entities could stand for gigabytes, or for other files.
    """
    names: list[str] = []

    def begin(name: str, attributes: Any) -> None:
        names.append(name)
        raise _Found

    def declare(*declaration: Any) -> None:
        raise Rejected(RejectReason.UNSAFE, "it declares XML entities")

    parser = ParserCreate()
    parser.StartElementHandler = begin
    parser.EntityDeclHandler = declare
    with suppress(_Found):
        parser.Parse(text, True)  # without an element that is an error
    return names[0]


def _check_numbers(element: Element) -> None:
    largest = _LARGEST.get(element.tag)
    text = (element.text or "").strip()
    digits = text.lstrip("+-").partition(".")[0]
    if largest is not None and digits.isdecimal() and (len(digits) > _MAX_DIGITS or int(digits) > largest):
        raise Rejected(RejectReason.MALFORMED, f"<{element.tag}> is {printable(text[:40])}")
    if element.tag == "ending":
        passes = element.get("number", "")
        if len(passes) > _MAX_ENDING or re.search(rf"\d{{{_MAX_PASS_DIGITS + 1}}}", passes):
            raise Rejected(RejectReason.MALFORMED, f"an ending for passes {printable(passes[:40])}")


def _restate_meter(part: Element) -> None:
    """Say the meter in every measure that is not full: music21 would look for it in all that came before.

    That is half of the time for a piece with many such measures, and grows with the square of their number.
    """
    meter: Element | None = None
    divisions = 1.0
    for measure in part:
        divisions = _number(measure, "attributes/divisions", divisions)
        found = measure.findall("attributes/time")
        if found:
            meter = found[-1]
        elif meter is not None:
            beats, beat_type = _number(meter, "beats", 0), _number(meter, "beat-type", 1)
            if _filled(measure) * beat_type < 4 * beats * divisions:
                attributes = Element("attributes")
                attributes.append(meter)
                measure.insert(0, attributes)


def _number(element: Element, path: str, default: float) -> float:
    try:
        return float(element.findtext(path) or default)
    except ValueError:
        return default


def _filled(measure: Element) -> float:
    """Divisions until the last note of a measure ends."""
    now = end = 0.0
    for element in measure:
        if element.find("chord") is None:
            length = _number(element, "duration", 0)
            now += -length if element.tag == "backup" else length
            end = max(end, now)
    return end


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    """The score in an MXL file: the one that its container names, or else the first XML file."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            text = _member(archive, _score_name(archive), max_bytes)
    except MemoryError:
        raise
    except Exception as error:  # a bad checksum, a password, an unknown method, a broken stream: each is another class
        raise Rejected(RejectReason.MALFORMED, f"a zip file that cannot be unpacked: {error}") from error
    if len(text) > max_bytes:
        raise Rejected(RejectReason.TOO_LARGE, f"it unpacks to more than {max_bytes} bytes")
    return text


def _score_name(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if _CONTAINER in names:
        named = _SCORE_PATH.search(_member(archive, _CONTAINER, _MAX_CONTAINER_BYTES))
        if named and (path := named[1].decode("utf-8", "replace")) in names:
            return path
    found = [name for name in names if name.lower().endswith(_SCORE_SUFFIXES) and not name.startswith("META-INF/")]
    if not found:
        raise LookupError("it holds no score")
    return found[0]


def _member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """At most `max_bytes` + 1 bytes of a member, whatever the archive says of its size."""
    with archive.open(name) as file:
        return file.read(max_bytes + 1)
