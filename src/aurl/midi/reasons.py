"""Why a file was not taken: one name per fault, and the error that carries it."""

from enum import StrEnum

from aurl.errors import AurlError


class RejectReason(StrEnum):
    """What is wrong with a file; the values are the names used in audits and JSON."""

    UNREADABLE = "unreadable"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_MIDI = "not_midi"
    NOT_NOTATION = "not_notation"
    FORMAT_2 = "format_2"
    UNKNOWN_FORMAT = "unknown_format"
    SMPTE = "smpte"
    BAD_DIVISION = "bad_division"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    UNSAFE = "unsafe"
    TOO_MANY_EVENTS = "too_many_events"
    TOO_MANY_TRACKS = "too_many_tracks"
    TOO_MANY_TEMPI = "too_many_tempi"
    TICK_OVERFLOW = "tick_overflow"
    NO_NOTES = "no_notes"
    FILTERED = "filtered"
    DAMAGED_ARCHIVE = "damaged_archive"
    UNSUPPORTED_ARCHIVE = "unsupported_archive"
    ARCHIVE_TOO_LARGE = "archive_too_large"
    ARCHIVE_BOMB = "archive_bomb"
    NESTED_ARCHIVE = "nested_archive"
    ENCRYPTED = "encrypted"
    NOT_A_FILE = "not_a_file"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"


_NEXT_STEPS = {
    RejectReason.UNREADABLE: "check that the file exists and that you may read it",
    RejectReason.EMPTY: "the file has no content; fetch or export it again",
    RejectReason.TOO_LARGE: "raise prepare.max_file_mb if the file is meant to be this big",
    RejectReason.NOT_MIDI: "only Standard MIDI Files (.mid, .midi, .kar, .rmi) can be read; export the piece as one",
    RejectReason.NOT_NOTATION: "of written music only MusicXML (score-partwise), MXL, ABC and **kern can be read",
    RejectReason.FORMAT_2: "it holds independent patterns, not one piece; export it as format 0 or 1",
    RejectReason.UNKNOWN_FORMAT: "export it again as format 0 or 1",
    RejectReason.SMPTE: "it counts film frames, not beats; export it with ticks per quarter note",
    RejectReason.BAD_DIVISION: "export it again with a resolution of at least one tick per quarter note",
    RejectReason.TRUNCATED: "nothing whole is left of it; fetch it again",
    RejectReason.MALFORMED: "no event could be read; export it again from the program that made it",
    RejectReason.UNSAFE: "music needs nothing of the kind; do not trust the place it came from",
    RejectReason.TOO_MANY_EVENTS: "it is far bigger than any piece of music; split it or leave it out",
    RejectReason.TOO_MANY_TRACKS: "it is far bigger than any piece of music; split it or leave it out",
    RejectReason.TOO_MANY_TEMPI: "its tempo map is far too long; export it without tempo automation",
    RejectReason.TICK_OVERFLOW: "a pause in it would last for days; export it again",
    RejectReason.NO_NOTES: "there is nothing to learn from; leave it out",
    RejectReason.FILTERED: "loosen the filter in prepare.preprocess if the piece should be in",
    RejectReason.DAMAGED_ARCHIVE: "fetch the archive again, or unpack what is left of it and give the folder",
    RejectReason.UNSUPPORTED_ARCHIVE: "unpack the archive and give the folder",
    RejectReason.ARCHIVE_TOO_LARGE: "unpack the archive and give the folder",
    RejectReason.ARCHIVE_BOMB: "it was made to fill the disk; leave it out",
    RejectReason.NESTED_ARCHIVE: "unpack the outer archive and give the folder",
    RejectReason.ENCRYPTED: "unpack the archive with its password and give the folder",
    RejectReason.NOT_A_FILE: "links, devices and pipes are not followed here; give the file itself",
    RejectReason.TIMEOUT: "raise prepare.timeout_seconds, or leave it out",
    RejectReason.MEMORY: "raise prepare.memory_mb, or leave it out",
    RejectReason.CRASH: "leave it out, and please report it with the file",
}


def next_step(reason: RejectReason) -> str:
    """What to do about a file that was rejected."""
    return _NEXT_STEPS[reason]


def printable(name: str) -> str:
    """`name` with control, surrogate and direction-changing characters escaped, safe to show on a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


class Rejected(AurlError):  # noqa: N818 - the word that audits and the CLI use
    """A MIDI file that cannot be used.

    Args:
        reason: the typed fault.
        fault: what was found, in a few words.
        name: the file, as the user knows it.
    """

    def __init__(self, reason: RejectReason, fault: str, *, name: str = "") -> None:
        super().__init__(f"{printable(name) or 'MIDI data'}: {fault}", hint=next_step(reason))
        self.reason = reason
        self.fault = fault
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.reason, self.fault, self.name)


def _rebuild(reason: RejectReason, fault: str, name: str) -> Rejected:
    """Unpickle: worker processes send rejections back."""
    return Rejected(reason, fault, name=name)
