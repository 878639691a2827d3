"""Checkpoints: folders of safetensors and JSON that are whole or absent, and never run anything when loaded.

    checkpoints/step-00000200/  model · ema · optimizer · random (.safetensors), state.json, manifest.sha256;
                                in mode vae_gan discriminator · discriminator_optimizer (.safetensors), too, and swa
                                once the mean of the last weights has begun
    checkpoints/latest, best    text files that hold a folder's name

A folder appears under its name only once everything in it is on the disk; `latest` moves after that, and old folders
go last. So whatever kills the process, the newest folder is a whole one. The newest ones stay, the best ones, and those
of multiples of `keep_every`.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from aurl.errors import DamagedError
from aurl.storage import (
    atomic_folder,
    read_json,
    remove_leftovers,
    verify_manifest,
    write_json,
    write_manifest,
    write_text,
)

LATEST, BEST = "latest", "best"
MODEL, EMA, SWA, OPTIMIZER, RANDOM = "model", "ema", "swa", "optimizer", "random"
DISCRIMINATOR, DISCRIMINATOR_OPTIMIZER = "discriminator", "discriminator_optimizer"
STATE_NAME = "state.json"
PREFIX, DAMAGED_PREFIX = "step-", "damaged-"
SCHEMA_VERSION = 1
Tensors = Mapping[str, Tensor]
IsLeft = Callable[[int, Mapping[str, Any]], bool]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The newest checkpoint that is whole.

    Args:
        folder: where it is.
        state: its `state.json`.
        damaged: newer folders that are not whole, with what is wrong with each.
        left: newer ones that the run has gone back from.
    """

    folder: Path
    state: dict[str, Any]
    damaged: dict[str, str]
    left: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """Updates done when it was saved."""
        return step_of(self.folder)

    @property
    def ranking(self) -> tuple[int, ...]:
        """The best steps until then, best first."""
        return tuple(int(step) for step in self.state.get("ranking", ()))

    @property
    def wanted(self) -> tuple[int, ...]:
        """Steps of all that must stay."""
        return (*self.ranking, int(self.state.get("good_step", 0)), self.step)


def folder_name(step: int) -> str:
    """Name of the checkpoint after `step` updates; names sort by step."""
    return f"{PREFIX}{step:08d}"


def step_of(folder: Path) -> int:
    """Updates done when the checkpoint was saved."""
    return int(folder.name.removeprefix(PREFIX))


def newest_first(checkpoints: Path, prefix: str = PREFIX) -> list[Path]:
    """All checkpoints in a folder, whole or not; or other folders whose names begin with `prefix`."""
    return sorted((path for path in checkpoints.glob(f"{prefix}*") if path.is_dir()), reverse=True)


class Checkpoints:
    """The checkpoints of one run; only its main process writes.

    Args:
        folder: `checkpoints/` of the run.
        keep_last: how many of the newest stay, beside the best ones.
        keep_every: those of multiples of it stay for good; 0: none does.
    """

    def __init__(self, folder: Path, *, keep_last: int, keep_every: int = 0) -> None:
        self.folder = folder
        self._keep_last, self._keep_every = keep_last, keep_every

    def save(
        self,
        step: int,
        groups: Mapping[str, Tensors],
        state: Mapping[str, Any],
        *,
        ranking: Sequence[int] = (),
        good_step: int = 0,
    ) -> Path:
        """Write a checkpoint, point to it, then remove old ones.

        Args:
            step: updates done.
            groups: file name without suffix → tensors.
            state: JSON values; the schema version and the ranking are added.
            ranking: steps of the best checkpoints, all of which stay; `best` points to the first that is there.
            good_step: of the one that would be gone back to, which stays, too.
        """
        final = self.folder / folder_name(step)
        with atomic_folder(final) as temporary:
            for name, tensors in groups.items():
                plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
                save_file(plain, temporary / f"{name}.safetensors")
            write_json(
                temporary / STATE_NAME,
                {"schema_version": SCHEMA_VERSION, "ranking": list(ranking), "good_step": good_step, **state},
            )
            write_manifest(temporary)
        self._point(LATEST, step)
        self._point_to_best(ranking)
        self.prune((*ranking, good_step))
        return final

    def find(self, is_left: IsLeft = lambda _step, _state: False) -> Found | None:
        """The newest whole checkpoint, None where the run has none yet; each damaged one is reported.

        Args:
            is_left: (step, `state.json`) → whether the run has gone back to before it.

        Raises:
            DamagedError: there are checkpoints, and none of them is whole.
        """
        damaged, left = dict[str, str](), list[str]()
        for folder in newest_first(self.folder):
            try:
                state = check_folder(folder)
            except DamagedError as error:
                # Said even to who wants to hear of errors only; where in the code it was found helps nobody.
                logger.error("checkpoint %s is damaged and passed over: %s", folder.name, error.message)  # noqa: TRY400
                damaged[folder.name] = error.message
            else:
                if not is_left(step_of(folder), state):
                    return Found(folder, state, damaged, tuple(left))
                left.append(folder.name)
        if damaged:
            raise DamagedError(
                f"no checkpoint in {self.folder} is whole: {'; '.join(damaged.values())}",
                hint="bring the folder back from a backup, or start a new run",
            )
        return None

    def tidy(self, found: Found | None) -> None:
        """Clear what a killed process left, move damaged folders out of the way, and put the pointers right.

        Args:
            found: what `find` gave; where that is nothing, the run has gone back to before all that there is.
        """
        if not self.folder.is_dir():
            return
        remove_leftovers(self.folder)
        if found is None:
            for folder in newest_first(self.folder):
                self._delete(folder)
            for pointer in (LATEST, BEST):
                (self.folder / pointer).unlink(missing_ok=True)
            return
        for name in found.damaged:
            shutil.rmtree(self.folder / f"{DAMAGED_PREFIX}{name}", ignore_errors=True)
            (self.folder / name).rename(self.folder / f"{DAMAGED_PREFIX}{name}")
        for name in found.left:
            self._delete(self.folder / name)
        self._point(LATEST, found.step)
        self._point_to_best(found.ranking)

    def prune(self, wanted: Sequence[int]) -> list[Path]:
        """Delete what is neither among the newest, nor of the steps that are wanted, nor kept for good.

        Returns:
            What was deleted.
        """
        doomed = self.surplus(wanted)
        for folder in doomed:
            self._delete(folder)
        return doomed

    def _delete(self, folder: Path) -> None:
        # Renamed first: killed half-way through, what is left is not taken for a checkpoint.
        shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}.tmp")))

    def surplus(self, wanted: Sequence[int]) -> list[Path]:
        """Folders that `prune` deletes, the newest first."""
        kept = {folder_name(step) for step in wanted}
        old = newest_first(self.folder)[self._keep_last :]
        return [folder for folder in old if folder.name not in kept and not self._stays(step_of(folder))]

    def _stays(self, step: int) -> bool:
        return bool(self._keep_every) and step % self._keep_every == 0

    def _point(self, pointer: str, step: int) -> None:
        write_text(self.folder / pointer, f"{folder_name(step)}\n")

    def _point_to_best(self, ranking: Sequence[int]) -> None:
        best = next((step for step in ranking if (self.folder / folder_name(step)).is_dir()), None)
        if best is None:
            (self.folder / BEST).unlink(missing_ok=True)
        else:
            self._point(BEST, best)


def check_folder(folder: Path) -> dict[str, Any]:
    """Compare a checkpoint with its checksums.

    Returns:
        Its `state.json`.

    Raises:
        DamagedError: a file is missing or differs, or the manifest does not cover all of them.
    """
    covered = set(verify_manifest(folder))
    needed = {f"{name}.safetensors" for name in (MODEL, OPTIMIZER, RANDOM)} | {STATE_NAME}
    if missing := sorted(needed - covered):
        raise DamagedError(f"{folder} has no checksum of {missing[0]}")
    state = read_json(folder / STATE_NAME)
    if not isinstance(state, dict) or state.get("schema_version") != SCHEMA_VERSION:
        raise DamagedError(
            f"{folder / STATE_NAME} has a schema that this version does not know",
            hint="resume with the version of aurl that wrote it (run.json tells)",
        )
    return state


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """One file of a checkpoint.

    Raises:
        DamagedError: it is missing or not readable.
    """
    path = folder / f"{name}.safetensors"
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DamagedError(f"{path} is not readable: {error}") from error
    return tensors
