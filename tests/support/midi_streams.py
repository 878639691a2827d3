"""Random event streams for hypothesis, written to bytes by no code of ours."""

from hypothesis import strategies as st
from tests.support.midi_bytes import quantity

deltas = st.one_of(st.integers(0, 3), st.integers(0, 0x3FFF), st.integers(0x4000, 0x200001))
low = st.integers(0, 127)
two_byte = st.tuples(st.integers(0x80, 0xBF) | st.integers(0xE0, 0xEF), low, low).map(bytes)
one_byte = st.tuples(st.integers(0xC0, 0xDF), low).map(bytes)
texts = st.tuples(st.sampled_from([1, 3, 5, 6, 0x7F]), st.binary(max_size=200) | st.text(max_size=40).map(str.encode))
metas = st.one_of(
    texts,
    st.tuples(st.just(0x51), st.binary(min_size=3, max_size=3)),
    st.tuples(st.just(0x58), st.tuples(low, st.integers(0, 7), low, low).map(bytes)),
    st.tuples(st.just(0x59), st.tuples(st.integers(0, 7), st.integers(0, 1)).map(bytes)),
).map(lambda pair: bytes([0xFF, pair[0]]) + quantity(len(pair[1])) + pair[1])
sysex = st.binary(max_size=150).map(
    lambda data: b"\xf0" + quantity(len(data) + 1) + bytes(b & 127 for b in data) + b"\xf7"
)
messages = st.one_of(two_byte, two_byte, two_byte, one_byte, metas, sysex)
streams = st.lists(st.tuples(deltas, messages), max_size=40)


@st.composite
def bodies(draw) -> bytes:
    """A track body without its end of track; status bytes are left out at random where running status allows it."""
    body, running = b"", 0
    for delta, message in draw(streams):
        status = message[0]
        repeat = status == running and draw(st.booleans())
        body += quantity(delta) + (message[1:] if repeat else message)
        running = status if status < 0xF0 else 0
    return body


tracks = st.lists(bodies(), min_size=1, max_size=3)

_times = st.integers(0, 400)
_notes = st.tuples(_times, st.integers(0, 300), st.integers(60, 63), st.integers(1, 127))
_others = st.tuples(_times, st.one_of(metas, st.tuples(st.just(0xB0), low, low).map(bytes)))


@st.composite
def tunes(draw) -> bytes:
    """A track body whose notes all end, on one or two channels, with controls and meta events among them."""
    messages = [(-1, 0, bytes([0xC0, draw(low)]))] if draw(st.booleans()) else []
    for onset, duration, pitch, velocity in draw(st.lists(_notes, min_size=1, max_size=20)):
        channel = draw(st.sampled_from([0, 0, 9]))
        messages.append((onset, 2, bytes([0x90 | channel, pitch, velocity])))
        messages.append((onset + duration, 3 if duration == 0 else 1, bytes([0x80 | channel, pitch, 64])))
    messages += [(tick, 0, message) for tick, message in draw(st.lists(_others, max_size=8))]
    body, now = b"", 0
    for tick, _, message in sorted(messages, key=lambda row: row[:2]):
        body += quantity(max(tick, 0) - now) + message
        now = max(tick, 0)
    return body
