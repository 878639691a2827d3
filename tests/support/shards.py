"""Finished shards for tests, as `prepare` makes them, without worker processes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.support.midi_files import tune, write_file

from aurl.data.encode import Recipe, ShardTask, Wanted, encode_shard
from aurl.data.plan import task_name


def wanted_tune(folder: Path, seed: int) -> Wanted:
    """The tune of this seed as a file, and what a plan knows of it."""
    content = tune(seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = write_file(folder / f"tune-{seed:03}.mid", content)
    return Wanted(str(path), hashlib.sha256(content).hexdigest(), len(content))


def make_shard(folder: Path, seeds: Iterable[int], recipe: Recipe) -> Path:
    """A shard of tunes in `folder/shards`, as a data set has it."""
    files = tuple(wanted_tune(folder / "midi", seed) for seed in seeds)
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    task = ShardTask(task_name(files, recipe), files, recipe, str(shards))
    encode_shard(task, {}, lambda index: None)
    return shards / f"{task.name}.safetensors"


def content_of(seed: int) -> bytes:
    """SHA-256 of the tune of this seed."""
    return hashlib.sha256(tune(seed)).digest()
