"""What each content is to a data set beside its ids: path, split, group of near-duplicates, labels.

None of it depends on how a file is encoded, so it changes without encoding anything. It is kept as JSON lines, in a
file that is named by its own hash and that the manifest points to; the index can be made again from it.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aurl.data.splits import SPLIT_NAMES, SplitName
from aurl.errors import DamagedError
from aurl.storage import write_bytes

PATTERN = "assignments-*.jsonl"
NAME_DIGITS = 32
NO_LABELS: Mapping[str, str] = MappingProxyType({})

logger = logging.getLogger(__name__)


class Assignment(NamedTuple):
    """What one content is to the data set.

    Args:
        sha256: of the file's bytes, hexadecimal.
        source: path where it is now; the first in order of several.
        split: where its pieces belong.
        own: where they would belong if they had no near-duplicates and no history.
        leader: the content by which its group of near-duplicates is known; empty if it has none.
        served: whether models see it; false for all but one of a group where only one is to be kept.
        labels: composer, genre and the like.
    """

    sha256: str
    source: str
    split: SplitName
    own: SplitName
    leader: str = ""
    served: bool = True
    labels: Mapping[str, str] = NO_LABELS

    def to_line(self) -> bytes:
        """One line of JSON; what goes without saying is left out."""
        value: dict[str, Any] = {"sha256": self.sha256, "source": self.source, "split": self.split}
        if self.own != self.split:
            value["own"] = self.own
        if self.leader:
            value["leader"] = self.leader
        if not self.served:
            value["served"] = False
        if self.labels:
            value["labels"] = dict(self.labels)
        return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Assignment":
        """What `to_line` wrote; raises ValueError, TypeError or KeyError where it did not."""
        value = json.loads(line)
        found = cls(**{"own": value["split"]} | value)
        if found.split not in SPLIT_NAMES or found.own not in SPLIT_NAMES:
            raise ValueError(f"unknown split {found.split!r}")
        bytes.fromhex(found.sha256 + found.leader)
        return found


def write_assignments(folder: Path, assignments: Sequence[Assignment]) -> str:
    """Write them; returns the name of the file."""
    content = b"".join(assignment.to_line() for assignment in assignments)
    name = _name(content)
    write_bytes(folder / name, content)
    return name


def _name(content: bytes) -> str:
    return PATTERN.replace("*", hashlib.sha256(content).hexdigest()[:NAME_DIGITS])


def read_assignments(folder: Path, name: str) -> list[Assignment]:
    """What `write_assignments` wrote.

    Raises:
        DamagedError: the file is missing or not as it was written.
    """
    path = folder / name
    try:
        content = path.read_bytes()
        found = [Assignment.from_line(line) for line in content.splitlines()]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: {error}", hint="run aurl prepare again") from error
    if name != _name(content):
        raise DamagedError(f"{path} is damaged: its content does not match its name", hint="run aurl prepare again")
    return found


def history(folder: Path, name: str | None) -> dict[str, Assignment]:
    """SHA-256 → what the content was to the data set until now, as far as that is known.

    Args:
        folder: of the data set.
        name: of the file that the manifest names; the newest whole one where there is no manifest.
    """
    newest = sorted(folder.glob(PATTERN), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for candidate in [name] if name else [path.name for path in newest]:
        try:
            return {one.sha256: one for one in read_assignments(folder, candidate)}
        except DamagedError as error:
            logger.warning("%s; splits are decided anew", error.message)
    return {}


def clear_assignments(folder: Path, needed: Iterable[str]) -> None:
    """Delete the files that no manifest names."""
    for path in folder.glob(PATTERN):
        if path.name not in needed:
            path.unlink()
