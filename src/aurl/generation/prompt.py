"""Songs as training would have seen them: the head of one as the beginning of a new piece, or all of it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aurl.controls.prompts import told_prompt
from aurl.data.inputs import read_source
from aurl.errors import UsageError
from aurl.generation.context import header_length
from aurl.generation.length import Clock, clock_at
from aurl.midi.clock import ticks_at
from aurl.midi.notation import read_any
from aurl.midi.prescan import MAX_BYTES
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Score
from aurl.preprocess import PREPROCESS
from aurl.tokens.codec import Codec, Encoded
from aurl.tokens.maps import Maps
from aurl.tokens.positions import elapsed_steps
from aurl.tokens.timing import to_steps, to_ticks
from aurl.tokens.vocabulary import EOS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """What a continuation begins with.

    Args:
        ids: BOS, header, body; no EOS, and notes may still sound.
        maps: of the song up to the end of the prompt.
        clock: tempo, meter and place in the bar there.
    """

    ids: list[int]
    maps: Maps
    clock: Clock


def load_song(
    song: Path | Score, codec: Codec, *, preprocess: Sequence[Mapping[str, Any]] = ()
) -> tuple[Score, Encoded]:
    """A whole song, as training would have seen it, and its ids.

    It goes through the run's own preprocessing, except for steps that choose or divide pieces, and through its codec.

    Raises:
        UsageError: there is no note in it.
        Rejected: the file cannot be used.
    """
    score = song_score(song)
    for component in preprocess:
        step = PREPROCESS.from_component(component)
        score = score if step.selects else step(score)
    encoded = codec.encode(score)
    if len(encoded.ids) <= header_length(encoded.ids.tolist()) + 1:
        raise UsageError(f"there is no note in {_name(song)}", hint="take another song")
    return score, encoded


def told_song(encoded: Encoded, codec: Codec) -> list[int]:
    """The ids of a whole song, BOS … EOS, with all that `codec` tells beside the music: what an encoder has learned."""
    ids = encoded.ids[:-1].tolist()
    return [*told_prompt(ids, header_length(ids), codec), EOS]


def load_prompt(
    song: Path | Score, codec: Codec, *, preprocess: Sequence[Mapping[str, Any]] = (), seconds: float | None = None
) -> Prompt:
    """The first `seconds` of a song (all of it where None), see `load_song`.

    Its header tells what holds for the whole song, parts that enter later included. The ids end with the last
    event before `seconds`: notes that sound there are left for the model to end, and it also chooses when the next
    event comes. Tempi, meters and keys that the song would have taken on later are left out; the last ones go on.

    Raises:
        UsageError: `seconds` is not positive, or no note begins in that time.
        Rejected: the file cannot be used.
    """
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--prompt-seconds {seconds} is no part of a song", hint="give more than 0")
    score, encoded = load_song(song, codec, preprocess=preprocess)
    ids = encoded.ids[:-1].astype(np.int64)
    if seconds is not None:
        cut = to_steps(ticks_at(score, [seconds]), score.ticks_per_beat, score.tempos, codec.time_base)
        ids = ids[elapsed_steps(ids) < cut[0]]
    if len(ids) <= header_length(ids.tolist()):
        raise UsageError(
            f"no note of {_name(song)} begins in the first {seconds} seconds", hint="take more of it: --prompt-seconds"
        )
    end = to_ticks(elapsed_steps(ids)[-1:], score.ticks_per_beat, score.tempos, codec.time_base)
    return _prompt(ids.tolist(), encoded.maps, int(end[0]))


def _name(song: Path | Score) -> str:
    return song.name if isinstance(song, Path) else "the song"


def read_song(data: bytes, name: str) -> Score:
    """What is in a file of MIDI or written music; a line in the log says what was mended.

    Raises:
        Rejected: it cannot be used.
    """
    found = read_any(data, name=name)
    if found.repairs:
        mended = ", ".join(f"{repair.replace('_', ' ')} ({count})" for repair, count in sorted(found.repairs.items()))
        logger.warning("%s was repaired: %s", name, mended)
    return found.score


def song_score(song: Path | Score) -> Score:
    """A song as it is in its file.

    Raises:
        Rejected: the file cannot be used.
    """
    if isinstance(song, Score):
        return song
    try:
        data = read_source(str(song), MAX_BYTES + 1)
    except OSError as error:
        raise Rejected(RejectReason.UNREADABLE, error.strerror or str(error), name=str(song)) from error
    return read_song(data, str(song))


def _prompt(ids: list[int], maps: Maps, end_tick: int) -> Prompt:
    kept = Maps(
        maps.ticks_per_beat,
        maps.tempos.take(maps.tempos.tick <= end_tick),
        maps.time_signatures.take(maps.time_signatures.tick <= end_tick),
        maps.key_signatures.take(maps.key_signatures.tick <= end_tick),
        maps.is_drum,
    )
    clock = clock_at(kept.tempos, kept.time_signatures, tick=end_tick, ticks_per_beat=maps.ticks_per_beat)
    return Prompt(ids, kept, clock)
