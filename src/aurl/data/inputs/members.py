"""What archives of all kinds have in common: their members, and the limits of what is believed of them."""

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from aurl.data.inputs.names import ARCHIVE_SUFFIXES, WANTED, is_shadow
from aurl.midi.reasons import Rejected, RejectReason

MAX_MEMBERS = 2**19
"""The largest collection of MIDI files that is passed around, MetaMIDI, has 436,631."""
MAX_NAME_BYTES = 2**15
BOMB_FLOOR_BYTES = 2**28
BOMB_RATIO = 200
"""Collections of MIDI files pack to a third or a tenth; above the floor, more than this times is no music."""

logger = logging.getLogger(__name__)


class Member(NamedTuple):
    """One member of an archive that is, or by its name should be, a piece.

    Args:
        name: as the archive has it.
        start: where it is found again.
        size: bytes, as declared.
        reason: why it cannot be read; None if it can.
        fault: the same in words.
    """

    name: str
    start: int
    size: int
    reason: RejectReason | None = None
    fault: str = ""


def wanted(name: str) -> bool:
    """Whether the name is that of a piece, or of an archive of which has to be told that it is not opened."""
    if not name.lower().endswith(WANTED):
        return False
    if is_shadow(name):
        logger.debug("left out, a shadow of macOS: %s", name)
        return False
    return True


def nested(name: str) -> bool:
    """Whether the name is that of an archive."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


class Listing(NamedTuple):
    """All members that matter, as far as the archive can be read.

    Args:
        members: each name once; a later member replaces an earlier one, as it does when the archive is unpacked.
        damage: why there is no more; None for a whole archive.
    """

    members: list[Member]
    damage: Rejected | None


def listed(members: Iterable[Member]) -> Listing:
    """Collect members until the archive ends or turns out to be damaged."""
    found: dict[str, Member] = {}
    damage = None
    try:
        for member in _counted(members):
            found[member.name] = member
    except Rejected as error:
        damage = error
    return Listing(list(found.values()), damage)


def _counted(members: Iterable[Member]) -> Iterator[Member]:
    for count, member in enumerate(members):
        if count == MAX_MEMBERS:
            raise Rejected(RejectReason.ARCHIVE_TOO_LARGE, f"more than {MAX_MEMBERS:,} members")
        yield member


class Places:
    """Name → (start, size), 24 bytes for each member: every worker holds one for each archive that it reads.

    Args:
        members: names once each.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        rows = sorted((hash(member.name), member.start, member.size) for member in members if member.reason is None)
        self._rows = np.array(rows, np.int64).reshape(-1, 3)

    def find(self, name: str) -> tuple[int, int] | None:
        """Where the member is and how big, if there is one of this name.

        Names are told apart by the 64 bits of Python's keyed hash, which no archive can foresee.
        """
        wanted_hash = hash(name)
        at = int(np.searchsorted(self._rows[:, 0], wanted_hash))
        if at == len(self._rows) or self._rows[at, 0] != wanted_hash:
            return None
        return int(self._rows[at, 1]), int(self._rows[at, 2])
