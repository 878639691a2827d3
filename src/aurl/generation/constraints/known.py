"""The passages of a body of music, collected once."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from aurl.data.inputs import default_spool, find, listing_digest, read_source
from aurl.data.manifest import read_manifest
from aurl.data.pieces import PieceReader
from aurl.data.shards import Ids
from aurl.errors import DamagedError, UsageError
from aurl.generation.constraints.lines import Passages, moves_of
from aurl.home import DATASET_MARK, cache_folder
from aurl.midi.notation import read_any
from aurl.midi.prescan import MAX_BYTES
from aurl.midi.reasons import Rejected
from aurl.tokens.codec import Codec

logger = logging.getLogger(__name__)
VERSION = 1
"""Raised whenever the same music would give other passages."""
FOLDER = "passages"
"""In the cache."""


def known_passages(codec: Codec, data: str, length: int) -> Passages:
    """The passages of a data set or of other music, from the cache where they have been collected before.

    Raises:
        UsageError: the data set counts time in another unit than `codec`.
        NotFoundError: there is no music.
    """
    folder = Path(data).expanduser()
    source = _Prepared(folder, codec) if (folder / DATASET_MARK).is_file() else _Files(data, codec)
    told = json.dumps([VERSION, length, codec.time_base, codec.parts, source.state])
    saved = cache_folder() / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()}.npz"
    if saved.is_file():
        with suppress(DamagedError):
            return Passages.load(saved, length)
    passages = Passages.of((moves for ids in source.pieces() for moves in moves_of(ids)), length)
    logger.info("%s passages of %d notes in %s", f"{len(passages):,}", length, data)
    try:
        saved.parent.mkdir(parents=True, exist_ok=True)
        passages.save(saved)
    except OSError as error:
        logger.warning("passages of %s are not kept: %s", data, error.strerror)
    return passages


class _Prepared:
    """The training pieces of a data set."""

    def __init__(self, folder: Path, codec: Codec) -> None:
        self._reader = PieceReader(folder, "train")
        if self._reader.codec.time_base != codec.time_base:
            mine, its = codec.time_base, self._reader.codec.time_base
            raise UsageError(
                f"the model counts in {mine}, and {folder} in {its}", hint=f"prepare it with tokens.time_base={mine}"
            )
        self.state = read_manifest(folder).generation

    def pieces(self) -> Iterator[Ids]:
        """Ids of each."""
        return (self._reader.piece(number) for number in range(len(self._reader)))


class _Files:
    """Files of music, those that can be read."""

    def __init__(self, data: str, codec: Codec) -> None:
        self._sources = find([data], spool=default_spool(), max_bytes=MAX_BYTES).sources
        self._codec = codec
        self.state = listing_digest(self._sources)

    def pieces(self) -> Iterator[Ids]:
        """Ids of each."""
        for source in self._sources:
            try:
                score = read_any(read_source(source.path, MAX_BYTES + 1), name=source.path).score
                yield self._codec.encode(score).ids
            except (Rejected, OSError) as error:
                logger.info("%s is left out: %s", source.path, error)
