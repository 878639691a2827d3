"""What a worker does: the files of one task → one shard on disk."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aurl.data.borrowed import Borrowed
from aurl.data.fingerprint import FINGERPRINT_VERSION, fingerprint
from aurl.data.inputs import read_source
from aurl.data.records import Record, note_count, prepared
from aurl.data.shards import SUFFIX, Piece, write_shard
from aurl.data.workers.worker import NO_FILE, Fault, Mark
from aurl.midi.notation import read_any
from aurl.midi.read import ReadResult
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Score
from aurl.preprocess import PREPROCESS
from aurl.tokens.codec import Codec

SCHEMA_VERSION = 2
"""Of shards and records; raised when what is stored for the same file changes."""

logger = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """A file to encode.

    Args:
        path: where it is, logical.
        sha256: of its content when the run was planned, hexadecimal.
        size: as its listing tells; negative if it does not.
        finished: path of a shard of this recipe that holds its pieces; empty if none is known.
    """

    path: str
    sha256: str
    size: int
    finished: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file becomes ids; equal recipes give equal ids.

    Args:
        codec: JSON of the codec's signature.
        preprocess: JSON of the preprocessing components, in order.
        min_notes: pieces with fewer are rejected.
        max_bytes: larger files are rejected.
    """

    codec: str
    preprocess: str
    min_notes: int
    max_bytes: int

    @property
    def signature(self) -> str:
        """Hash over everything that ids and records depend on beside the file."""
        value = [SCHEMA_VERSION, FINGERPRINT_VERSION, self.codec, self.preprocess, self.min_notes]
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One task: the files of one shard.

    Args:
        name: of the shard, without suffix.
        sources: what goes into it, in order.
        recipe: how.
        folder: where the shard belongs.
    """

    name: str
    sources: tuple[Wanted, ...]
    recipe: Recipe
    folder: str


@dataclass(frozen=True, slots=True)
class Written:
    """A finished shard.

    Args:
        name: without suffix.
        sha256: of the shard's bytes.
        transient: records of files that could not be read this time and are not in the shard.
        copied: files whose pieces were taken from another shard.
    """

    name: str
    sha256: str
    transient: tuple[Record, ...]
    copied: int


class Pipeline:
    """A recipe, ready to be used.

    Args:
        recipe: what to do.

    Attributes:
        steps: preprocessing, in order.
        codec: from score to ids.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.steps = tuple(PREPROCESS.from_component(component) for component in json.loads(recipe.preprocess))
        self.codec = Codec.from_signature(json.loads(recipe.codec))

    def preprocessed(self, read: ReadResult) -> tuple[list[Score], Counter[str]]:
        """The scores that the steps make of what was read, and all that was repaired on the way."""
        scores, repairs = [read.score], Counter(read.repairs)
        for step in self.steps:
            made: list[Score] = []
            for score in scores:
                try:
                    done = step.counted(score)
                except Rejected as error:
                    if error.reason is not RejectReason.FILTERED or len(scores) == 1:
                        raise
                    repairs["filtered_segments"] += 1
                    continue
                made += [done.score, *done.rest]
                repairs.update(done.repairs)
            scores = made
        return scores, repairs


def encode_shard(task: ShardTask, faults: Mapping[int, Fault], mark: Mark) -> Written:
    """Encode the task's files and write them as one shard (`aurl.data.workers.worker.Work`)."""
    pieces: list[Piece] = []
    rejected: list[Record] = []
    transient: list[Record] = []
    pipeline, borrowed = Pipeline(task.recipe), Borrowed()
    for index, wanted in enumerate(task.sources):
        if fault := faults.get(index):
            rejected.append(rejection(wanted, Rejected(fault.reason, fault.text)))
            continue
        mark(index)
        try:
            pieces += borrowed.pieces(wanted.finished, wanted.sha256, wanted.path) or encode_file(wanted, pipeline)
        except Rejected as error:
            (transient if error.reason is RejectReason.UNREADABLE else rejected).append(rejection(wanted, error))
    mark(NO_FILE)
    sha256 = write_shard(Path(task.folder, task.name + SUFFIX), pieces, rejected, task.recipe.signature)
    return Written(task.name, sha256, tuple(transient), borrowed.count)


def encode_file(wanted: Wanted, pipeline: Pipeline) -> list[Piece]:
    """The pieces of one file: one, or what preprocessing has divided it into.

    Raises:
        Rejected: it cannot be used; for `UNREADABLE` another time may do.
        MemoryError: it does not fit.
    """
    data = _read(wanted, pipeline.recipe.max_bytes)
    try:
        return _encode(data, wanted, pipeline)
    except (Rejected, MemoryError):
        raise
    except Exception as error:  # a fault of ours or of a library's on one file must not cost the others
        logger.exception("%s", wanted.path)
        raise Rejected(RejectReason.CRASH, f"{type(error).__name__}: {error}", name=wanted.path) from error


def _encode(data: bytes, wanted: Wanted, pipeline: Pipeline) -> list[Piece]:
    recipe = pipeline.recipe
    read = read_any(data, name=wanted.path, max_bytes=recipe.max_bytes, bare=not pipeline.steps)
    scores, repairs = pipeline.preprocessed(read)
    print_of_file = fingerprint(read.score)
    pieces: list[Piece] = []
    for score in scores:
        encoded = pipeline.codec.encode(score)
        notes = note_count(encoded.ids)
        if notes < recipe.min_notes:
            fault = f"{notes} notes, fewer than {recipe.min_notes}"
            if len(scores) == 1:
                raise Rejected(RejectReason.NO_NOTES, fault, name=wanted.path)
            repairs["short_segments"] += 1
            continue
        facts = prepared(score, encoded, notes=notes, segment=len(pieces))
        record = facts._replace(source=wanted.path, sha256=wanted.sha256, file_bytes=len(data), repairs=encoded.repairs)
        pieces.append(Piece(encoded.ids, record, print_of_file))
    if not pieces:
        raise Rejected(RejectReason.FILTERED, f"no segment is left with {recipe.min_notes} notes", name=wanted.path)
    first = pieces[0].record
    repairs.update(first.repairs)
    pieces[0] = pieces[0]._replace(record=first._replace(repairs=dict(repairs)))
    return pieces


def _read(wanted: Wanted, max_bytes: int) -> bytes:
    try:
        data = read_source(wanted.path, max_bytes + 1)
    except OSError as error:
        raise Rejected(RejectReason.UNREADABLE, error.strerror or str(error), name=wanted.path) from error
    if hashlib.sha256(data).hexdigest() != wanted.sha256:
        raise Rejected(RejectReason.UNREADABLE, "it was changed while it was read", name=wanted.path)
    return data


def rejection(wanted: Wanted, error: Rejected) -> Record:
    """The record of a file that cannot be used."""
    return Record(wanted.path, wanted.sha256, max(wanted.size, 0), reason=error.reason, fault=error.fault)
