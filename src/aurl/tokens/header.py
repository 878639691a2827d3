"""The facts told at the start of a stream: TEMPO, TIME_SIGNATURE, KEY."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Columns, KeySignatures, Score, Tempos, TimeSignatures
from aurl.studies.pitch_classes import KEYS
from aurl.tokens.vocabulary import (
    GROUPS,
    KEY,
    MAX_TEMPO_BPM,
    MIN_TEMPO_BPM,
    TEMPO,
    TEMPO_BINS,
    TIME_SIGNATURE,
    TIME_SIGNATURES,
    Group,
    Header,
)

HEADERS: tuple[Header, ...] = get_args(Header)
"""In the order in which they stand in a stream."""
MICROSECONDS_PER_MINUTE = 60_000_000

C = TypeVar("C", bound=Columns)


@dataclass(frozen=True)
class HeaderFacts:
    """What header ids say, as maps with one entry at tick 0, or none where nothing is said."""

    tempos: Tempos
    time_signatures: TimeSignatures
    key_signatures: KeySignatures


def tempo_bin(microseconds_per_beat: float) -> int:
    """The nearest of the tempi that are evenly spaced in logarithm from 30 to 300 BPM; slower or faster: the ends."""
    bpm = MICROSECONDS_PER_MINUTE / max(microseconds_per_beat, 1)
    octaves = math.log(bpm / MIN_TEMPO_BPM) / math.log(MAX_TEMPO_BPM / MIN_TEMPO_BPM)
    return min(max(round(octaves * (TEMPO_BINS - 1)), 0), TEMPO_BINS - 1)


def tempo_bpm(tempo: int) -> float:
    """Beats per minute of a TEMPO value."""
    return float(MIN_TEMPO_BPM * (MAX_TEMPO_BPM / MIN_TEMPO_BPM) ** (tempo / (TEMPO_BINS - 1)))


def header_ids(score: Score, header: Sequence[Header], onset: int) -> list[int]:
    """Ids of the facts in force at the first note, at tick `onset`; what score or table cannot say is left out."""
    ids = []
    for name in HEADERS:
        value = _VALUES[name](score, onset) if name in header else None
        if value is not None:
            ids.append(GROUPS[name].start + value)
    return ids


def read_header(ids: NDArray[np.int64]) -> HeaderFacts:
    """What the first TEMPO, TIME_SIGNATURE and KEY among `ids` say."""
    tempo, meter, key = (_first(ids, group) for group in (TEMPO, TIME_SIGNATURE, KEY))
    microseconds = [] if tempo is None else [round(MICROSECONDS_PER_MINUTE / tempo_bpm(tempo))]
    numerator, denominator = ([], []) if meter is None else ([value] for value in TIME_SIGNATURES[meter])
    fifths, minor = ([], []) if key is None else ([value] for value in KEYS[key])
    return HeaderFacts(
        _at_start(Tempos, microseconds),
        _at_start(TimeSignatures, numerator, denominator),
        _at_start(KeySignatures, fifths, minor),
    )


def _tempo(score: Score, onset: int) -> int | None:
    at = _in_force(score.tempos.tick, onset)
    return None if at is None else tempo_bin(int(score.tempos.microseconds_per_beat[at]))


def _time_signature(score: Score, onset: int) -> int | None:
    meters = score.time_signatures
    at = _in_force(meters.tick, onset)
    return None if at is None else _METER_INDEX.get((int(meters.numerator[at]), int(meters.denominator[at])))


def _key(score: Score, onset: int) -> int | None:
    keys = score.key_signatures
    at = _in_force(keys.tick, onset)
    return None if at is None else _KEY_INDEX.get((int(keys.fifths[at]), bool(keys.minor[at])))


_VALUES = {"tempo": _tempo, "time_signature": _time_signature, "key": _key}
_METER_INDEX = {meter: index for index, meter in enumerate(TIME_SIGNATURES)}
_KEY_INDEX = {key: index for index, key in enumerate(KEYS)}


def _in_force(ticks: NDArray[np.int64], onset: int) -> int | None:
    """Row of the last entry at or before `onset`."""
    if len(ticks) == 1:
        return 0 if ticks.item(0) <= onset else None
    at = int(ticks.searchsorted(onset, side="right")) - 1
    return None if at < 0 else at


def _first(ids: NDArray[np.int64], group: Group) -> int | None:
    values = ids[(ids >= group.start) & (ids < group.stop)]
    return int(values[0]) - group.start if len(values) else None


def _at_start(kind: type[C], *values: Sequence[object]) -> C:
    names = list(kind._dtypes)
    return kind(**dict(zip(names, [[0] * len(values[0]), *values], strict=True)))
