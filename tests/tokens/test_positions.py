import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reference_codec import decode
from tests.support.scores import score, scores, track

from aurl.errors import UsageError
from aurl.midi.score import TimeSignatures
from aurl.tokens.codec import Codec
from aurl.tokens.piano_roll import piano_roll
from aurl.tokens.positions import positions


@given(scores(), st.integers(0, 10_000), st.sampled_from([(4, 4), (3, 4), (6, 8), (7, 16), (2, 1), None]))
def test_positions_follow_from_adding_up_the_shifts(piece, start, meter):
    header = [] if meter is None else [972 + 16 * [1, 2, 4, 8, 16].index(meter[1]) + meter[0] - 1]
    ids = header + Codec(header=()).encode(piece).ids.tolist()
    found = positions(ids, time_base="beats", start_steps=start)
    bar = 128 if meter is None else 128 * meter[0] // meter[1]
    now = start
    for index, token in enumerate(ids):
        now += token - 255 if 256 <= token < 768 else 0
        here = [column[index] for column in (found.step, found.beat, found.beat_phase, found.bar, found.bar_phase)]
        assert here == [now, now // 32, now % 32, now // bar, now % bar]


def test_a_window_continues_where_the_piece_stood():
    piece = score(
        track((0, 32, 60, 75), (700, 32, 62, 75), (900, 3, 64, 75)), time_signatures=TimeSignatures([0], [3], [4])
    )
    ids = Codec().encode(piece).ids
    whole = positions(ids, time_base="beats")
    cut = 8
    window = positions(np.append(ids[1:2], ids[cut:]), time_base="beats", start_steps=whole.step[cut - 1])
    for name in ("step", "beat", "beat_phase", "bar", "bar_phase"):
        assert getattr(window, name)[1:].tolist() == getattr(whole, name)[cut:].tolist()


def test_rows_of_a_batch_have_their_own_meter_and_start():
    batch = np.array([[972 + 32 + 2, 256 + 99], [774, 256 + 99]])
    found = positions(batch, time_base="beats", start_steps=[0, 28])
    assert found.step.tolist() == [[0, 100], [28, 128]]
    assert found.bar.tolist() == [[0, 1], [0, 1]]
    assert found.bar_phase.tolist() == [[0, 4], [28, 0]]


def test_seconds_know_no_beats_and_no_ids_have_no_positions():
    found = positions([256, 257], time_base="seconds", start_steps=5)
    assert found.step.tolist() == [6, 8]
    assert (found.beat, found.beat_phase, found.bar, found.bar_phase) == (None, None, None, None)
    assert positions(np.zeros((2, 0)), time_base="beats").bar.shape == (2, 0)


@given(scores(), st.booleans())
def test_piano_roll_holds_each_note_at_its_loudest(piece, by_part):
    ids = Codec().encode(piece).ids[:60]
    ids = ids[(ids < 256 + 64) | (ids >= 768)]
    roll = piano_roll(ids, by_part=by_part)
    expected = np.zeros((32 if by_part else 1, 128, 20_000), np.uint8)
    for part, pitch, onset, offset, level in decode(ids):
        cells = expected[part * by_part, pitch, onset : max(offset, onset + 1)]
        np.maximum(cells, level + 1, out=cells)
    roll = roll if by_part else roll[None]
    assert np.array_equal(roll, expected[: len(roll), :, : roll.shape[2]])
    assert not expected[len(roll) :].any()
    assert not expected[:, :, roll.shape[2] :].any()


def test_a_piano_roll_that_would_not_fit_is_refused():
    with pytest.raises(UsageError):
        piano_roll(np.full(2**13, 767))
