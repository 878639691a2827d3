import numpy as np
import pytest
from tests.support import reference_codec
from tests.support.datasets import make_profile
from tests.support.midi_files import smf, write_file

from aurl.augment.passage import Passage
from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset
from aurl.data.hybrid import FRAME_STEPS, MAX_FRAMES, hybrid_view
from aurl.data.prepare import prepare
from aurl.tokens.vocabulary import BOS, PAD, SEP, TIME_SHIFT, VELOCITY

SEQ_LEN = 90
METERS = {(4, 2): 128, (3, 2): 96, (6, 3): 96, (7, 3): 112}
"""As a MIDI file spells them → steps of a bar."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Chords and overlaps in several meters, at changing loudness."""
    root = tmp_path_factory.mktemp("data")
    (root / "midi").mkdir()
    for number, meter in enumerate(METERS):
        rng = np.random.default_rng(number)
        onsets = np.sort(rng.integers(0, 40_000, 150))
        notes = [
            (int(o), int(rng.integers(10, 900)), int(rng.integers(50, 70)), int(rng.integers(20, 120))) for o in onsets
        ]
        write_file(root / "midi" / f"{number}.mid", smf(notes, meter=meter))
    prepare([root / "midi"], make_profile('prepare.split={kind="hash", valid=0, test=0}'), root / "dataset", jobs=1)
    return root / "dataset"


def brute_force(windows, window, passage, frames):
    """Frames × pitches of the notes that begin in a window, from those of the whole piece."""
    ids = windows.piece(window.piece)
    body = passage.header if window.first > 1 else 0
    begin = window.first - 1 if window.first > 1 else 0
    roll = np.zeros((128, frames), np.uint8)
    end = passage.start_step + sum(t - 255 for t in passage.ids[body:].tolist() if 256 <= t < 768)
    before = reference_codec.decode(ids[:begin])
    after = reference_codec.decode(ids[: window.stop])
    earlier = {(part, pitch, onset) for part, pitch, onset, _, _ in before}
    for part, pitch, onset, offset, level in after:
        if (part, pitch, onset) not in earlier:
            step = onset
            while step < max(min(offset, end), onset + 1):
                frame = step // FRAME_STEPS - passage.start_step // FRAME_STEPS
                roll[pitch, frame] = max(roll[pitch, frame], level + 1)
                step += 1
    return roll


def test_the_roll_is_that_of_the_whole_piece(folder):
    windows = TokenDataset(folder, "train", seq_len=SEQ_LEN, hybrid=True)
    found = windows.draw(np.random.default_rng(0))
    some = [found.at(index) for index in range(len(found))]
    rows = windows.__getitems__(some)
    roll = rows.hybrid.roll
    assert roll.dtype == np.uint8
    assert roll.shape[:2] == (len(some), 128)
    for window, row in zip(some, roll, strict=True):
        expected = brute_force(windows, window, windows[window], roll.shape[2])
        assert np.array_equal(row, expected)
    assert (roll.any(axis=(1, 2))).all()
    assert roll.any(axis=(0, 1))[-1] or roll.shape[2] > 1


def test_times_are_those_of_a_loop_over_the_whole_piece(folder):
    windows = TokenDataset(folder, "train", seq_len=SEQ_LEN, hybrid=True)
    found = windows.draw(np.random.default_rng(1))
    some = [found.at(index) for index in range(len(found))]
    rows = windows.__getitems__(some)
    view = rows.hybrid
    bars = set()
    for number, window in enumerate(some):
        ids = windows.piece(window.piece).tolist()
        numerator, power = divmod(next(t for t in ids if 972 <= t < 1052) - 972, 16)[::-1]
        bar = 128 * (numerator + 1) // 2**power
        bars.add(bar)
        time = sum(t - 255 for t in ids[: window.first - 1] if 256 <= t < 768) if window.first > 1 else 0
        for place, token in enumerate(rows.ids[number].tolist()):
            time += token - 255 if 256 <= token < 768 else 0
            told = [int(column[number, place]) for column in view[:5]]
            assert told == [time, time // 32, time % 32, time // bar, time % bar]
    assert bars == set(METERS.values())


def test_a_long_pause_costs_no_more_than_the_longest_roll():
    pauses = [TIME_SHIFT.stop - 1] * 500
    ids = np.array([BOS, SEP, VELOCITY.start, 60, TIME_SHIFT.start + 15, 188, *pauses, 62, 256, 190], np.uint16)
    rows = np.full((1, len(ids) + 2), PAD, np.int64)
    rows[0, : len(ids)] = ids
    view = hybrid_view([Passage(ids, header=2, context=1)], rows, time_base="beats")
    assert view.roll.shape == (1, 128, MAX_FRAMES)
    assert np.argwhere(view.roll[0]).tolist() == [[60, 0], [60, 1]]
    assert view.step[0, -1] == view.step[0, len(ids) - 1] == 500 * 512 + 17


def test_seconds_know_no_beats():
    ids = np.array([BOS, SEP, 60, TIME_SHIFT.start + 40, 188], np.uint16)
    view = hybrid_view(
        [Passage(ids, header=2, context=1, start_step=100)], ids[None].astype(np.int64), time_base="seconds"
    )
    assert view.step.tolist() == [[100, 100, 100, 141, 141]]
    assert not any(column.any() for column in view[1:5])


def test_frames_are_aligned_with_the_piece_not_with_the_window():
    ids = np.array([BOS, SEP, 60, TIME_SHIFT.start + 3, 188], np.uint16)
    view = hybrid_view([Passage(ids, header=2, context=2, start_step=6)], ids[None].astype(np.int64), time_base="beats")
    assert view.roll[0, 60].tolist() == [4, 4]


@pytest.mark.parametrize("workers", [0])
def test_loaders_hand_it_on(folder, workers):
    windows = TokenDataset(folder, "train", seq_len=SEQ_LEN, hybrid=True)
    (first, *_) = loader(windows, WindowSampler(windows, batch_size=3), workers=workers)
    assert first["bar"].shape == first["ids"].shape
    assert first["roll"].shape[:2] == (3, 128)
