"""Passages for tests: whole pieces, and windows cut out of them anywhere; a slow second look at their notes."""

import numpy as np
from hypothesis import strategies as st
from tests.support import reference_codec
from tests.support.scores import score, scores, track

from aurl.augment import NOT_YET, Passage
from aurl.midi.score import Score
from aurl.tokens.codec import Codec

SHIFT, VELOCITY, PAD, EOS, SEP, PART, PROGRAM, TEMPO = 256, 768, 774, 776, 778, 779, 811, 940
DRUMS = 128
MIDDLE = (11, 33, 54, 75, 96, 117)
"""A velocity of each level."""
HEADERS = (("tempo", "time_signature", "key"), ("key",), ())


def whole(piece: Score, codec: Codec) -> Passage:
    encoded = codec.encode(piece)
    return Passage(frozen(encoded.ids), header_length(encoded.ids), 1, is_drum=encoded.maps.is_drum)


def header_length(ids) -> int:
    return ids.tolist().index(SEP) + 1 if SEP in ids else 1


def frozen(ids):
    """Ids as the loader has them: a view of a file that cannot be written to."""
    ids = np.array(ids, np.uint16)
    ids.flags.writeable = False
    return ids


def window(passage: Passage, begin: int, stop: int, context: int) -> Passage:
    """Ids `begin` to `stop` of a whole piece, of which the first `context` are not predicted."""
    ids, header = passage.ids.tolist(), passage.header
    before = ids[header:begin]
    steps = sum(token - SHIFT + 1 for token in before if SHIFT <= token < VELOCITY)
    return Passage(
        frozen(ids[:header] + ids[begin:stop]),
        header,
        header + context,
        steps,
        ([NOT_YET] + [token - PART for token in before if PART <= token < PROGRAM])[-1],
        ([NOT_YET] + [token - VELOCITY for token in before if VELOCITY <= token < PAD])[-1],
        passage.is_drum,
    )


@st.composite
def codecs(draw, *, time_base: str | None = None, header: tuple[str, ...] | None = None) -> Codec:
    base = time_base or draw(st.sampled_from(["beats", "seconds"]))
    told = header or draw(st.sampled_from(HEADERS))
    return Codec(time_base=base, parts=draw(st.booleans()), header=told)


@st.composite
def windows(draw, codec: Codec) -> Passage:
    """A piece, or a window of one with at least one id of context."""
    passage = whole(draw(scores(max_tracks=3)), codec)
    size = len(passage.ids)
    if size - passage.header < 2 or draw(st.booleans()):
        return passage
    begin = draw(st.integers(passage.header, size - 2))
    stop = draw(st.integers(begin + 2, size))
    return window(passage, begin, stop, draw(st.integers(1, stop - begin - 1)))


@st.composite
def passages(draw) -> tuple[Codec, Passage]:
    codec = draw(codecs())
    return codec, draw(windows(codec))


def body_with(ids, change) -> list[int]:
    """SEP and what follows, spelt note by note, of the same notes changed: `change` maps (onset, offset, pitch, level).

    For codecs with parts.
    """
    programs = [int(token) - PROGRAM for token in ids if PROGRAM <= token < TEMPO]
    tracks: list[list[tuple[int, ...]]] = [[] for _ in programs]
    for part, pitch, onset, offset, level in reference_codec.decode(ids):
        begin, end, tone, loudness = change(onset, offset, pitch, level)
        tracks[part].append((begin, end - begin, tone, MIDDLE[loudness]))
    made = [track(*rows, program=p % DRUMS, is_drum=p == DRUMS) for rows, p in zip(tracks, programs, strict=True)]
    return from_sep(reference_codec.encode(score(*made), header=()))


def from_sep(ids) -> list[int]:
    return list(ids)[list(ids).index(SEP) :]


def notes_by_hand(passage: Passage):
    """Where it ends, and (part, pitch, onset or None, offset or None, level or None) of each note, id by id."""
    now, part, level, sounding, found = passage.start_step, max(passage.part, 0), passage.velocity, {}, []
    for token in passage.ids[passage.header :].tolist():
        if token < 128:
            sounding[part, token] = (now, level)
        elif token < SHIFT:
            onset, loud = sounding.pop((part, token - 128), (None, None))
            found.append((part, token - 128, onset, now, loud))
        elif token < VELOCITY:
            now += token - SHIFT + 1
        elif token < PAD:
            level = token - VELOCITY
        elif PART <= token < PROGRAM:
            part = token - PART
    return now, found + [(*lane, onset, None, loud) for lane, (onset, loud) in sounding.items()]
