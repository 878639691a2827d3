"""ABC tune books: one file, many tunes, each from its `X:` field to the next."""

import re

from aurl.data.inputs.members import BOMB_FLOOR_BYTES, MAX_MEMBERS
from aurl.midi.reasons import Rejected, RejectReason

_NEW_TUNE = re.compile(rb"(?:\A|(?<=[\r\n]))X:[ \t]*\d")
_FIELD = re.compile(rb"[A-Za-z]:|%%")
_KEY = b"K:"
"""The field that ends a tune's header."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Book:
    """The tunes of one file.

    Args:
        data: its content.

    Raises:
        Rejected: it holds too many tunes, or too much that goes with each of them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data.removeprefix(_BYTE_ORDER_MARK)
        starts = [match.start() for match in _NEW_TUNE.finditer(self._data)]
        self._bounds = list(zip(starts, [*starts[1:], len(self._data)], strict=True)) if starts else []
        before = self._data[: starts[0]] if starts else b""
        self._header = [line for line in before.splitlines(keepends=True) if _FIELD.match(line)]
        if len(self) > MAX_MEMBERS:
            raise Rejected(RejectReason.ARCHIVE_TOO_LARGE, f"more than {MAX_MEMBERS:,} tunes")
        if len(before) * len(self) > BOMB_FLOOR_BYTES:
            raise Rejected(RejectReason.ARCHIVE_BOMB, f"{len(before):,} bytes go with each of {len(self):,} tunes")

    def __len__(self) -> int:
        return len(self._bounds)

    def tune(self, ordinal: int) -> bytes:
        """The tune number `ordinal`, counted from 1 in order of the file, with what the file says of all its tunes.

        Raises:
            IndexError: there is none.
        """
        if not 1 <= ordinal <= len(self):
            raise IndexError(ordinal)
        start, stop = self._bounds[ordinal - 1]
        if not self._header:
            return self._data[start:stop]
        first, *rest = self._data[start:stop].splitlines(keepends=True)
        own = _own_fields(rest)
        return b"".join([first, *(line for line in self._header if line[:2] not in own), *rest])


def _own_fields(lines: list[bytes]) -> set[bytes]:
    """The fields in a tune's header; they stand instead of those that the file has for all."""
    found = set[bytes]()
    for line in lines:
        if _FIELD.match(line) and line[:2] != b"%%":
            found.add(line[:2])
        if line.startswith(_KEY):
            break
    return found
