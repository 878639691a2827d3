"""Written music (MusicXML, MXL, ABC, Humdrum **kern) → Score, through music21; and what tells it from MIDI."""

import io
import re
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

from aurl.midi.musicxml import musicxml_root
from aurl.midi.performance import perform
from aurl.midi.plaintext import abc_tune, kern_text
from aurl.midi.prescan import MAX_BYTES
from aurl.midi.read import ReadResult, finish, read_score
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.repair import repair_notes

if TYPE_CHECKING:
    from aurl.midi.engraving import Piece

ABC_SUFFIX = ".abc"
XML_SUFFIXES = (".musicxml", ".xml", ".mxl")
HUMDRUM_SUFFIXES = (".krn", ".kern")
NOTATION_SUFFIXES = (*XML_SUFFIXES, ABC_SUFFIX, *HUMDRUM_SUFFIXES)
"""Names of files that are read as notation; anything else is taken for MIDI."""

_MIDI_MAGIC = (b"MThd", b"RIFF")
_XML_MAGIC = (b"<?xml", b"\xef\xbb\xbf<?xml", b"\xff\xfe<\0?\0", b"\xfe\xff\0<\0?")
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_MEMBER = "!/"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_MAX_FAULT = 200
"""Characters of what music21 says that go into an audit."""


def read_any(data: bytes, *, name: str = "", max_bytes: int = MAX_BYTES, bare: bool = False) -> ReadResult:
    """The score in the bytes of a MIDI or notation file.

    Args:
        data: the whole file, unpacked if it was compressed.
        name: its logical path; of `x.abc!/3` and `x.abc.gz` the suffix is `.abc`.
        max_bytes: the largest size that is looked at.
        bare: controls, lyrics and markers are not wanted, and may be missing; it is faster.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    if data.startswith(_MIDI_MAGIC) or not (suffix := _suffix(name, data)):
        return read_score(data, name=name, max_bytes=max_bytes, bare=bare)
    return read_notation(data, suffix=suffix, name=name, max_bytes=max_bytes)


def read_notation(data: bytes, *, suffix: str, name: str = "", max_bytes: int = MAX_BYTES) -> ReadResult:
    """The score in the bytes of a file of written music, as it sounds: transposed, repeats written out.

    Chord symbols do not sound; they are markers, and so are rehearsal marks.

    Args:
        data: the whole file. Of several tunes the first is read.
        suffix: one of `NOTATION_SUFFIXES`.
        name: what messages call it.
        max_bytes: the largest size that is looked at, also of what is packed in it.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    try:
        return _read(data, suffix, max_bytes)
    except Rejected as rejected:
        raise Rejected(rejected.reason, rejected.fault, name=name) from rejected


def _suffix(name: str, data: bytes) -> str:
    """The suffix that the file is read by; empty for MIDI."""
    whole = name.lower()
    for packed in _PACKED_SUFFIXES:
        whole = whole.removesuffix(packed)
    book, _, number = whole.rpartition(_MEMBER)
    if number.isdigit() and book.removesuffix(".gz").endswith(ABC_SUFFIX):
        return ABC_SUFFIX
    found = [suffix for suffix in NOTATION_SUFFIXES if whole.endswith(suffix)]
    return found[0] if found else ".xml" if data.startswith(_XML_MAGIC) else ""


def _read(data: bytes, suffix: str, max_bytes: int) -> ReadResult:
    if not data:
        raise Rejected(RejectReason.EMPTY, "the file is empty")
    if len(data) > max_bytes:
        raise Rejected(RejectReason.TOO_LARGE, f"{len(data)} bytes, more than {max_bytes}")
    repairs: Counter[str] = Counter()
    source: Any
    if suffix in XML_SUFFIXES:
        source = musicxml_root(data, max_bytes=max_bytes)
    elif suffix == ABC_SUFFIX:
        source, further = abc_tune(data)
        repairs.update({"further_tunes": further} if further else {})
    else:
        source = kern_text(data)
    piece = _parsed(source, suffix)
    score, found = perform(piece.bars, piece.instruments)
    return finish(repair_notes(score), repairs + found)


def _parsed(source: Any, suffix: str) -> "Piece":
    """The bars of the piece, or the reason why music21 cannot tell them; it says nothing to anybody else."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        from aurl.midi.engraving import parse, written  # noqa: PLC0415 - music21 takes a while to load

        try:
            return written(parse(source, is_abc=suffix == ABC_SUFFIX))
        except MemoryError:
            raise
        except Exception as error:  # of a bad file music21 raises whatever it stumbles over
            # Where an object is in memory would make every run's record another one.
            said = _ADDRESS.sub("", f"{type(error).__name__}: {error}")[:_MAX_FAULT]
            raise Rejected(RejectReason.MALFORMED, f"music21 cannot read it: {said}") from error
