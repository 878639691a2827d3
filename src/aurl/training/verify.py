"""Whether the checkpoints of a run are whole, and which of them need not be kept."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aurl.errors import DamagedError
from aurl.storage import lock, remove_leftovers, verify_manifest
from aurl.training.checkpoint import DAMAGED_PREFIX, PREFIX, Checkpoints, check_folder, newest_first
from aurl.training.run import Run
from aurl.training.soup import AVERAGE_PREFIX


@dataclass(frozen=True, slots=True)
class Verified:
    """A checkpoint, or a mean of some.

    Args:
        name: of its folder.
        bytes: of all its files.
        fault: what is wrong with it, empty where it is whole.
    """

    name: str
    bytes: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was deleted, or would be.

    Args:
        names: of folders.
        bytes: of all their files.
    """

    names: Sequence[str]
    bytes: int


def verify_checkpoints(run: Run) -> list[Verified]:
    """Read every checkpoint of a run and compare it with its checksums, oldest first; nothing is changed."""
    folders = sorted(path for prefix in (PREFIX, AVERAGE_PREFIX) for path in newest_first(run.checkpoints, prefix))
    return [Verified(folder.name, _bytes([folder]), _fault(folder)) for folder in folders]


def clean_checkpoints(run: Run, checkpoints: Checkpoints, *, dry_run: bool = False) -> Cleaned:
    """Delete what the run's profile does not keep: surplus checkpoints, damaged ones that were moved out of the way.

    Means of checkpoints were asked for, and stay.

    Args:
        run: that is not being trained.
        checkpoints: of it, with what they keep.
        dry_run: only tell.

    Raises:
        LockedError: the run is being trained.
        DamagedError: no checkpoint is whole: then nothing is deleted.
    """
    with lock(run.lock):
        found = checkpoints.find()
        wanted = () if found is None else found.wanted
        doomed = [*checkpoints.surplus(wanted), *newest_first(run.checkpoints, DAMAGED_PREFIX)]
        cleaned = Cleaned(tuple(sorted(folder.name for folder in doomed)), _bytes(doomed))
        if not dry_run:
            remove_leftovers(run.checkpoints)
            checkpoints.prune(wanted)
            for folder in newest_first(run.checkpoints, DAMAGED_PREFIX):
                shutil.rmtree(folder)
    return cleaned


def _fault(folder: Path) -> str:
    try:
        verify_manifest(folder) if folder.name.startswith(AVERAGE_PREFIX) else check_folder(folder)
    except DamagedError as error:
        return error.message
    return ""


def _bytes(folders: Iterable[Path]) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
