"""No passage of the training set comes back."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from aurl.data.inputs import default_spool, find, listing_digest, read_source
from aurl.data.manifest import read_manifest
from aurl.data.pieces import PieceReader
from aurl.data.shards import Ids
from aurl.errors import DamagedError, UsageError
from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.lines import MAX_DISTANCE, Passages, moves_of
from aurl.generation.constraints.pitches import pitched
from aurl.generation.constraints.row import FORBIDDEN, PITCHES, Bias, Row
from aurl.home import DATASET_MARK, cache_folder
from aurl.midi.notation import read_any
from aurl.midi.prescan import MAX_BYTES
from aurl.midi.reasons import Rejected
from aurl.midi.score import Notes, Score
from aurl.tokens.codec import Codec
from aurl.tokens.timing import to_steps
from aurl.tokens.vocabulary import NOTE_ON, TimeBase

logger = logging.getLogger(__name__)
VERSION = 1
"""Raised whenever the same music would give other passages."""
FOLDER = "passages"


@CONSTRAINTS.register("no_copy")
def no_copy(codec: Codec, *, data: str = "", notes: Annotated[int, Ge(2)] = 12) -> "NoCopy":
    """No so many notes in a row are those of a piece that the model has learnt from.

    What is compared is the line of highest notes of each part: intervals, so in any key, and distances in time, drums
    aside. What a prompt copies stays. The passages of the data are collected once and kept in the cache. A finished
    piece cannot be mended.

    Args:
        codec: of the ids.
        data: a data set, whose training pieces count, or music as `aurl prepare` takes it. In `aurl generate` the data
            set of the run where nothing is named.
        notes: how many in a row.
    """
    if not data:
        raise UsageError("no_copy has to know what must not be copied", hint='name a data set: data = "path"')
    return NoCopy(known_passages(codec, data, notes), codec.time_base)


class NoCopy(Rule):
    """See `no_copy`.

    Args:
        passages: what must not come back.
        time_base: what their steps are.
    """

    def __init__(self, passages: Passages, time_base: TimeBase) -> None:
        self._passages = passages
        self._time_base: TimeBase = time_base

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON that is the highest here and completes a passage."""
        line = row.tops.get(row.part)
        if line is None:
            return
        top = line[-1][1] if line[-1][0] == row.step else -1
        length = self._passages.length
        before = line[-length:-1] if top >= 0 else line[1 - length :]
        for distance, interval in self._passages.completions(before):
            step, pitch = before[-1]
            if distance == min(row.step - step, MAX_DISTANCE) and top < pitch + interval < PITCHES:
                bias[NOTE_ON.start + pitch + interval] = FORBIDDEN

    def broken(self, score: Score) -> list[str]:
        """Passages that are copies."""
        return [
            f"the {self._passages.length} notes up to beat {tick / score.ticks_per_beat:g} are known"
            for notes in pitched(score)
            for tick in self._copies(score, notes)
        ]

    def _copies(self, score: Score, notes: Notes) -> Iterator[int]:
        """Tick at which the last note of each copied passage begins."""
        ticks = np.unique(notes.onset)
        highest = [int(notes.pitch[notes.onset == tick].max()) for tick in ticks]
        steps = to_steps(ticks, score.ticks_per_beat, score.tempos, self._time_base).tolist()
        line = list(zip(steps, highest, strict=True))
        for stop in range(self._passages.length, len(line) + 1):
            *before, last = line[stop - self._passages.length : stop]
            way = last[0] - before[-1][0], last[1] - before[-1][1]
            if way in self._passages.completions(before):
                yield int(ticks[stop - 1])


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
