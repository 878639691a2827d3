import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.datasets import make_profile
from tests.support.midi_files import tune, write_file

from aurl.data.dataset import TokenDataset
from aurl.data.prepare import prepare
from aurl.data.truncation import MAX_MARGIN, TRUNCATION, settle
from aurl.data.windows import Tiling, Window

SEQ_LEN = 400
BODY = st.integers(0, 127) | st.integers(128, 255) | st.integers(256, 300) | st.just(767) | st.integers(768, 773)


@pytest.fixture(scope="module", params=["beats", "seconds"])
def folder(tmp_path_factory, request):
    root = tmp_path_factory.mktemp(request.param)
    (root / "midi").mkdir()
    for seed in range(12):
        write_file(root / "midi" / f"{seed}.mid", tune(seed, notes=5 if seed == 0 else 150 + 40 * seed))
    profile = make_profile('prepare.split={kind="hash", valid=0, test=0}', f"tokens.time_base={request.param}")
    prepare([root / "midi"], profile, root / "dataset", jobs=1)
    return root / "dataset"


def dataset(folder, kind, **options):
    return TokenDataset(folder, "train", seq_len=SEQ_LEN, truncation=TRUNCATION.build(kind), **options)


def drawn(windows, seed):
    found = windows.draw(np.random.default_rng(seed))
    return [found.at(index) for index in range(len(found))]


def targets(windows, number, seed):
    """Targets of a piece's windows, one after the other."""
    return [
        token
        for window in drawn(windows, seed)
        if window.piece == number
        for token in windows[window].ids[windows[window].context :].tolist()
    ]


@pytest.mark.parametrize("kind", sorted(set(TRUNCATION.kinds()) - {"truncate"}))
@pytest.mark.parametrize("context", [1, 4])
def test_every_target_is_in_one_window(folder, kind, context):
    windows = dataset(folder, kind, context=context)
    for seed in range(3):
        for number in range(len(windows.pieces)):
            assert targets(windows, number, seed) == windows.piece(number)[1:].tolist()


@pytest.mark.parametrize("kind", TRUNCATION.kinds())
def test_no_window_is_longer_than_it_may_be_or_than_was_said(folder, kind):
    windows = dataset(folder, kind)
    found = windows.draw(np.random.default_rng(5))
    inputs = windows.tiling.inputs(found)
    lengths = np.array([len(windows[found.at(index)].ids) - 1 for index in range(len(found))])
    assert (lengths <= inputs).all()
    assert inputs.max() <= SEQ_LEN
    assert lengths.mean() > 0.7 * SEQ_LEN


def test_truncate_keeps_the_start_of_each_piece(folder):
    windows = dataset(folder, "truncate")
    for number in range(len(windows.pieces)):
        ids = windows.piece(number)
        assert targets(windows, number, 0) == ids[1 : SEQ_LEN + 1].tolist()
    assert [windows[index].ids.tolist() for index in range(len(windows))] == [
        windows.piece(number)[: SEQ_LEN + 1].tolist() for number in range(len(windows.pieces))
    ]


def test_truncate_may_keep_any_window_of_each_piece(folder):
    windows = TokenDataset(folder, "train", seq_len=SEQ_LEN, truncation=TRUNCATION.build("truncate", keep="anywhere"))
    places = [drawn(windows, seed) for seed in range(40)]
    assert all([window.piece for window in found] == list(range(len(windows.pieces))) for found in places)
    longest = int(windows.pieces.columns.tokens.argmax())
    begins = {found[longest].first for found in places}
    assert len(begins) > 20
    assert 1 in begins


def opens(ids, index, bar_steps):
    """Whether the id at `index` is the first of a bar, by a plain loop."""
    time = played = 0
    for place, token in enumerate(ids[: index + 1].tolist()):
        if place == index:
            return not 256 <= token < 768 and played // bar_steps < time // bar_steps
        if 256 <= token < 768:
            time += token - 255
        else:
            played = time
    raise AssertionError


def test_adaptive_windows_begin_with_bars_or_after_long_pauses(folder):
    """The tunes are in 4/4 with a note on nearly every beat: a bar begins within reach of nearly every boundary."""
    shares = {}
    for kind in ("sliding_window", "adaptive"):
        windows = dataset(folder, kind)
        beats = windows.pieces.codec.time_base == "beats"
        found = []
        for window in drawn(windows, 1):
            if window.first > 1:
                passage, ids = windows[window], windows.piece(window.piece)
                first = _begin(ids, passage)
                before = ids[first - 1]
                found.append(opens(ids, first, 128) if beats else 256 <= before < 768 and before - 255 > 12)
        shares[kind] = np.mean(found)
    assert shares["adaptive"] > 0.8
    assert shares["sliding_window"] < 0.5


def _begin(ids, passage):
    """Where in the piece a passage's first target is: there is one place where all of it fits."""
    body = passage.ids[passage.header :]
    (place,) = [
        at for at in range(passage.header, len(ids) - len(body) + 1) if np.array_equal(ids[at : at + len(body)], body)
    ]
    return place + passage.context - passage.header


@given(
    st.lists(BODY, min_size=1, max_size=40),
    st.integers(0, 500),
    st.none() | st.sampled_from([32, 96, 128]),
    st.data(),
)
def test_settling_is_what_a_loop_over_all_places_finds(body, start, bar_steps, data):
    boundary = data.draw(st.integers(0, len(body) - 1))
    time = played = start
    places = []
    for index, token in enumerate(body):
        if 256 <= token < 768:
            time += token - 255
        else:
            if index and 256 <= body[index - 1] < 768:
                places.append((index, played, time))
            played = time
    by_pause = [(played - time, abs(index - boundary), index) for index, played, time in places]
    by_bar = [
        (abs(i - boundary), i) for i, before, now in places if bar_steps and before // bar_steps < now // bar_steps
    ]
    expected = min(by_bar)[-1] if by_bar else min(by_pause)[-1] if by_pause else boundary
    ids = np.array(body, np.uint16)
    assert settle(ids, start_step=start, boundary=boundary, bar_steps=bar_steps) == expected


@given(
    st.lists(st.tuples(st.integers(10, 900), st.integers(1, 9)), min_size=1, max_size=9),
    st.integers(14, 200),
    st.integers(0, 2**32),
    st.data(),
)
def test_boundaries_that_move_by_less_than_the_margin_never_meet(pieces, seq_len, seed, data):
    tokens, header = (np.array(column) for column in zip(*pieces, strict=True))
    tiling = Tiling(tokens + header, header, seq_len=seq_len, margin=MAX_MARGIN)
    windows = tiling.draw(np.random.default_rng(seed))
    inputs = tiling.inputs(windows)
    assert inputs.max() <= seq_len
    for index in range(len(windows)):
        piece, first, stop, _ = windows.at(index)
        margin, length = int(tiling.margin[piece]), tokens[piece] + header[piece]
        latest = first + margin * (first > 1)
        earliest = stop - margin * (stop < length)
        assert latest < earliest or (first, stop) == (1, length)


def test_windows_without_targets_stay_so(folder):
    windows = dataset(folder, "adaptive")
    for number in range(len(windows.pieces)):
        assert windows[Window(number, 1, 1)].ids.tolist() == [775]
