"""`manifest.json`: what a data set consists of. It is written last, so what it does not name is not part of it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aurl.errors import DamagedError, NotFoundError
from aurl.storage import read_json, write_json

NAME = "manifest.json"
SHARDS = "shards"
FORMAT_VERSION = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardEntry(_Frozen):
    """One shard of the data set."""

    name: str = Field(pattern=r"^[0-9a-f]{16,64}$", description="File name in the folder `shards`, without suffix.")
    sha256: str = Field(description="Of the file's bytes.")
    bytes: int = Field(ge=0, description="Size of the file.")
    pieces: int = Field(ge=0, description="Prepared pieces, removed ones among them.")
    records: int = Field(ge=0, description="Pieces and rejected files.")
    tokens: int = Field(ge=0, description="Ids of all pieces.")
    removed: tuple[int, ...] = Field(default=(), description="Rows of records whose files are gone.")


class Manifest(_Frozen):
    """A whole data set."""

    version: int = Field(default=FORMAT_VERSION, ge=FORMAT_VERSION, le=FORMAT_VERSION)
    generation: str = Field(description="Changes with every change of the data set; the index carries it too.")
    created_with: str = Field(description="Version of aurl.")
    signature: str = Field(description="Hash over all that ids depend on beside the files.")
    codec: dict[str, Any] = Field(description="Signature of the codec.")
    prepare: dict[str, Any] = Field(description="Resolved profile section.")
    tokens: dict[str, Any] = Field(description="Resolved profile section.")
    listing: str = Field(description="Hash over paths, sizes and times of all files; empty: look at each again.")
    assignments: str = Field(
        pattern=r"^assignments-[0-9a-f]{32}\.jsonl$", description="File that tells splits, groups and labels."
    )
    shards: tuple[ShardEntry, ...]

    @property
    def limits(self) -> tuple[float, int]:
        """(timeout_seconds, memory_mb) of the run that wrote it: what rejections for cost depend on."""
        return self.prepare["timeout_seconds"], self.prepare["memory_mb"]


def generation_of(content: Mapping[str, Any]) -> str:
    """The generation of a manifest: the hash over all else in it, which also tells whether it is as it was written."""
    told = {key: value for key, value in content.items() if key not in ("version", "generation")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def shard_path(folder: Path, name: str) -> Path:
    """Where the shard `name` of the data set in `folder` is."""
    return folder / SHARDS / f"{name}.safetensors"


def is_whole(folder: Path, entry: ShardEntry) -> bool:
    """Whether the shard is there with all its bytes."""
    try:
        return shard_path(folder, entry.name).stat().st_size == entry.bytes
    except OSError:
        return False


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the data set in `folder`.

    Raises:
        NotFoundError: there is none.
        DamagedError: it is not a manifest of this version.
    """
    try:
        value = read_json(folder / NAME)
    except NotFoundError as error:
        raise NotFoundError(error.message, hint="prepare it again, or tell with --data where it is") from error
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise DamagedError(
            f"{folder / NAME} is no manifest of this version: {where}: {fault['msg']}",
            hint="prepare the data set again: aurl prepare PATH…",
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it atomically."""
    write_json(folder / NAME, manifest.model_dump(mode="json"))
