"""Meta events → tempo, meter and key maps, texts and names."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from aurl.midi.events import Meta
from aurl.midi.score import KeySignatures, Tempos, Text, TimeSignatures
from aurl.midi.skim import KEY_SIGNATURE, PAYLOAD_BYTES, TEMPO, TIME_SIGNATURE, TRACK_NAME

_MAX_DENOMINATOR_POWER = 7
"""Of a meter's note value: 128th notes. Greater ones become 0, which `repair.drop_bad_meters` counts."""


def tempos(metas: Iterable[Meta], repairs: Counter[str]) -> Tempos:
    """The tempo map of all tracks together."""
    rows = [(meta.tick, int.from_bytes(meta.payload[:3], "big")) for meta in _whole(metas, TEMPO, repairs)]
    return Tempos(*np.array(rows, np.int64).reshape(-1, 2).T)


def time_signatures(metas: Iterable[Meta], repairs: Counter[str]) -> TimeSignatures:
    """The meter map of all tracks together."""
    rows = [
        (meta.tick, meta.payload[0], 1 << meta.payload[1] if meta.payload[1] <= _MAX_DENOMINATOR_POWER else 0)
        for meta in _whole(metas, TIME_SIGNATURE, repairs)
    ]
    return TimeSignatures(*np.array(rows, np.int64).reshape(-1, 3).T)


def key_signatures(metas: Iterable[Meta], repairs: Counter[str]) -> KeySignatures:
    """The key map of all tracks together."""
    rows = [
        (meta.tick, int.from_bytes(meta.payload[:1], signed=True), meta.payload[1] != 0)
        for meta in _whole(metas, KEY_SIGNATURE, repairs)
    ]
    tick, fifths, minor = np.array(rows, np.int64).reshape(-1, 3).T
    return KeySignatures(tick, fifths, minor != 0)


def texts(metas: Iterable[Meta], kind: int) -> tuple[Text, ...]:
    """Texts of one kind in order of tick; empty ones say nothing."""
    found = [Text(meta.tick, _decode(meta.payload)) for meta in metas if meta.kind == kind and meta.payload]
    return tuple(sorted(found, key=lambda text: text.tick))


def track_names(metas: Iterable[Meta]) -> dict[int, str]:
    """Track chunk → its name, the last where it has several."""
    return {meta.chunk: _decode(meta.payload) for meta in metas if meta.kind == TRACK_NAME}


def _whole(metas: Iterable[Meta], kind: int, repairs: Counter[str]) -> Sequence[Meta]:
    """The events of one kind that hold what they must, in order of tick."""
    found = [meta for meta in metas if meta.kind == kind]
    whole = [meta for meta in found if len(meta.payload) >= PAYLOAD_BYTES[kind]]
    if len(whole) < len(found):
        repairs["short_meta_events"] += len(found) - len(whole)
    return sorted(whole, key=lambda meta: meta.tick)


def _decode(payload: bytes) -> str:
    """Text in UTF-8, or in Latin-1, which the standard's ASCII became in practice."""
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload.decode("latin-1")
