"""Which files go into which shard: decided by their contents alone, so that a run goes on where another was killed.

No list of tasks is stored. The files that the manifest does not cover are cut into tasks in the same way every time, a
task is named by what goes into it, and a shard of that name on disk is a finished task.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aurl.data.encode import Recipe, ShardTask, Wanted
from aurl.data.index import Place
from aurl.data.inputs import suffix_of
from aurl.data.manifest import SHARDS, ShardEntry
from aurl.data.records import COSTLY
from aurl.data.shards import SUFFIX, Shard
from aurl.errors import DamagedError
from aurl.midi.notation import NOTATION_SUFFIXES

BYTES_PER_TOKEN = 2
"""MIDI bytes that become one id: 2.1 over a mixed corpus of 2,415 files."""
TASKS_PER_RUN = 256
"""Tasks into which runs are cut that would fill fewer shards, so that the workers of a cluster all have some and end
at about the same time; twice as many tasks cost nothing on 2,415 files."""
MIN_TASK_BYTES = 2**18
USUAL_BYTES = 2**14
"""Of a file whose size nobody tells."""
NOTATION_COST = 64
"""MIDI bytes that are encoded while one byte of written music is: 60 of MXL, 600 of ABC. Were they not counted,
hundreds of tunes would be one task, which one worker does alone and nobody can interrupt."""
NAME_DIGITS = 32
SMALL = 0.25
"""A shard with less than this share of a full one's tokens is small."""
MANY_SMALL = 2 * TASKS_PER_RUN
"""Small shards from which on they are made into larger ones: each run may leave as many as it has tasks."""
WORTH_KEEPING = 0.5
"""A shard of which less than this share is still wanted is dropped, and what is left of it copied into another."""

logger = logging.getLogger(__name__)


def cut(wanted: Sequence[Wanted], recipe: Recipe, *, folder: Path, shard_tokens: int) -> list[ShardTask]:
    """Tasks for the files that are to be encoded, in their order."""
    costs = [_cost(file) for file in wanted]
    limit = min(shard_tokens * BYTES_PER_TOKEN, max(sum(costs) // TASKS_PER_RUN, MIN_TASK_BYTES))
    groups = _groups(zip(wanted, costs, strict=True), limit)
    return [ShardTask(task_name(files, recipe), files, recipe, str(folder / SHARDS)) for files in groups]


def _groups(wanted: Iterable[tuple[Wanted, int]], limit: int) -> Iterator[tuple[Wanted, ...]]:
    group: list[Wanted] = []
    size = 0
    for file, cost in wanted:
        if group and size + cost > limit:
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += cost
    if group:
        yield tuple(group)


def _cost(file: Wanted) -> int:
    """MIDI bytes that take as long; what only has to be copied costs the same whatever it was."""
    size = file.size if file.size >= 0 else USUAL_BYTES
    return size * NOTATION_COST if not file.finished and suffix_of(file.path) in NOTATION_SUFFIXES else size


def task_name(files: Iterable[Wanted], recipe: Recipe) -> str:
    """A name that tells what goes in and how."""
    contents = "\n".join((recipe.signature, *(file.sha256 for file in files)))
    return hashlib.sha256(contents.encode()).hexdigest()[:NAME_DIGITS]


def contents(path: Path, recipe: Recipe) -> frozenset[bytes]:
    """SHA-256 of every file recorded in the shard; empty if it is damaged or of another recipe."""
    try:
        shard = Shard(path)
        if shard.signature != recipe.signature:
            return frozenset()
        shard.verify()
        return frozenset(bytes.fromhex(record.sha256) for record in shard.records())
    except (DamagedError, ValueError) as error:
        logger.warning("a shard of an earlier run is of no use: %s", error)
        return frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what was done before and only has to be taken over.

    Args:
        tasks: shards to make.
        ready: names of shards on disk that belong to the data set from now on.
    """

    tasks: tuple[ShardTask, ...]
    ready: tuple[str, ...]


def make_plan(
    wanted: Sequence[Wanted], recipe: Recipe, *, folder: Path, shard_tokens: int, known: Collection[str]
) -> Plan:
    """Plan the encoding of `wanted`, with what a killed run has left in the folder.

    Args:
        wanted: files, in order of path, each content once.
        recipe: how.
        folder: of the data set.
        shard_tokens: tokens of a full shard, about.
        known: names of shards that already belong to the data set.
    """
    paths = sorted((folder / SHARDS).glob(f"[!.]*{SUFFIX}"))
    strays = {path.stem: contents(path, recipe) for path in paths if path.stem not in known}
    tasks = cut(wanted, recipe, folder=folder, shard_tokens=shard_tokens)
    named = {task.name: frozenset(bytes.fromhex(file.sha256) for file in task.sources) for task in tasks}
    ready = {name for name, held in strays.items() if named.get(name) == held}
    missing = frozenset().union(*named.values())
    others = {name for name, held in strays.items() if name not in ready and held and _worth(len(held & missing), held)}
    if others:
        # The folder has changed since that run: what it finished is taken as it is, and the rest is cut anew.
        taken = frozenset().union(*(strays[name] for name in ready | others))
        left = [file for file in wanted if bytes.fromhex(file.sha256) not in taken]
        return Plan(tuple(cut(left, recipe, folder=folder, shard_tokens=shard_tokens)), tuple(sorted(ready | others)))
    return Plan(tuple(task for task in tasks if task.name not in ready), tuple(sorted(ready)))


def _worth(wanted: int, held: Collection[bytes]) -> bool:
    return wanted >= WORTH_KEEPING * len(held)


class Kept(NamedTuple):
    """What of a data set stays.

    Args:
        shards: that stay as they are.
        good: contents in them.
        finished: content → name of a shard that goes, from which its pieces can be copied.
    """

    shards: list[ShardEntry]
    good: set[bytes]
    finished: dict[bytes, str]


def keep(
    places: Mapping[bytes, Place],
    wanted: Collection[bytes],
    shards: Sequence[ShardEntry],
    *,
    shard_tokens: int,
    retry: bool,
) -> Kept:
    """Which contents need no encoding, and which shards stay.

    A shard of which hardly anything is wanted goes, and so do small ones once they are many.

    Args:
        places: what the data set holds.
        wanted: contents that are to be in it.
        shards: of the data set.
        shard_tokens: tokens of a full shard, about.
        retry: encode again what was rejected for its cost.
    """
    known = {sha256 for sha256 in wanted if (place := places.get(sha256)) and not (retry and place.reason in COSTLY)}
    used: Counter[str] = Counter()
    for sha256 in known:
        used[places[sha256].shard] += places[sha256].records
    kept = [entry for entry in shards if used[entry.name] and used[entry.name] >= WORTH_KEEPING * entry.records]
    small = {entry.name for entry in kept if entry.tokens < SMALL * shard_tokens}
    if len(small) > MANY_SMALL:
        kept = [entry for entry in kept if entry.name not in small]
    whole, names = {entry.name for entry in shards}, {entry.name for entry in kept}
    good = {sha256 for sha256 in known if places[sha256].shard in names}
    finished = {sha256: place.shard for sha256 in known - good if (place := places[sha256]).shard in whole}
    return Kept(kept, good, finished)
