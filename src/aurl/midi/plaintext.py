"""Bytes of an ABC or **kern file → text, checked before anything else looks at it."""

import re

from aurl.midi.reasons import Rejected, RejectReason, printable

MAX_BEATS = 128
"""Of a bar, as the meter has it: music21 divides a bar step by step."""
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb": "utf-8-sig"}
_TUNE = re.compile(r"^X:", re.MULTILINE)
_KEY = re.compile(r"^K:", re.MULTILINE)
_KERN = re.compile(r"^(?:\S+\t)*\*\*kern", re.MULTILINE)
_METER = re.compile(r"(?:\bM:\s*\(?|^(?:\S+\t)*\*M)(\d+)", re.MULTILINE)
_NO_MUSIC = re.compile(r'^(?:[A-Za-z]:|%).*$|"[^"\n]*"', re.MULTILINE)
_ABSURD_ABC = re.compile(r"\d{4,}|[,']{10,}|[_^]{5,}")
"""Lengths of thousands of beats, and pitches and accidentals beyond all music."""
_ABSURD_KERN = re.compile(r"^(?![*!=]).*?(0{4,}|\.{6,}|[A-Ga-g]{9,}|[#-]{5,})", re.MULTILINE)


def abc_tune(data: bytes) -> tuple[str, int]:
    """The first tune of an ABC file, with what the file's head says, and how many further tunes there are.

    Raises:
        Rejected: it is no ABC, or has absurd numbers.
    """
    text = _text(data)
    if not _KEY.search(text):
        raise Rejected(RejectReason.NOT_NOTATION, "ABC without a key (K:)")
    tunes = [match.start() for match in _TUNE.finditer(text)]
    tune = text[: tunes[1]] if len(tunes) > 1 else text
    _check(tune, _NO_MUSIC.sub("", tune), _ABSURD_ABC)
    return tune, max(len(tunes) - 1, 0)


def kern_text(data: bytes) -> str:
    """The text of a Humdrum file.

    Raises:
        Rejected: no spine of it is **kern, or it has absurd numbers.
    """
    text = _text(data)
    if not _KERN.search(text):
        raise Rejected(RejectReason.NOT_NOTATION, "Humdrum without a **kern spine")
    _check(text, text, _ABSURD_KERN)
    return text


def _text(data: bytes) -> str:
    try:
        return data.decode(_ENCODINGS.get(data[:2], "utf-8"))
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _check(text: str, music: str, absurd: re.Pattern[str]) -> None:
    found = absurd.search(music)
    if found:
        raise Rejected(RejectReason.MALFORMED, f"the music has {printable(found[0][-20:])} in it")
    for beats in _METER.findall(text):
        if len(beats) > 3 or int(beats) > MAX_BEATS:
            raise Rejected(RejectReason.MALFORMED, f"bars of {beats[:20]} beats")
