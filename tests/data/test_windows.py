import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.data.windows import Tiling, Window

PIECES = st.lists(st.tuples(st.integers(2, 400), st.integers(1, 9)), min_size=1, max_size=12).map(
    lambda rows: [(tokens + header, header) for tokens, header in rows]
)


def covered(windows, tokens):
    """How often each target of each piece is in a window."""
    counts = [np.zeros(length, int) for length in tokens]
    for index in range(len(windows)):
        piece, first, stop, _ = windows.at(index)
        assert 1 <= first < stop <= tokens[piece]
        counts[piece][first:stop] += 1
    return counts


def lengths(windows, tiling, tokens, header, context):
    """Ids that each window takes."""
    for index in range(len(windows)):
        piece, first, stop, _ = windows.at(index)
        yield stop if first == 1 else header[piece] + context + stop - first


@given(PIECES, st.integers(14, 90), st.integers(1, 3), st.integers(0, 2**32))
def test_every_target_is_in_one_window_and_no_window_is_too_long(pieces, seq_len, context, seed):
    tokens, header = zip(*pieces, strict=True)
    tiling = Tiling(tokens, header, seq_len=seq_len, context=context)
    for windows in (tiling.tile(), tiling.draw(np.random.default_rng(seed))):
        assert all((count[1:] == 1).all() for count in covered(windows, tokens))
        assert max(lengths(windows, tiling, tokens, header, context)) <= seq_len + 1


@given(PIECES, st.integers(14, 90), st.integers(0, 2**32))
def test_the_number_of_drawn_windows_never_changes(pieces, seq_len, seed):
    tokens, header = zip(*pieces, strict=True)
    tiling = Tiling(tokens, header, seq_len=seq_len)
    drawn = len(tiling.draw(np.random.default_rng(seed)))
    assert drawn == len(tiling.draw(np.random.default_rng(seed + 1)))
    assert len(tiling.tile()) <= drawn <= len(tiling.tile()) + sum(np.array(tokens) > seq_len + 1)


@given(PIECES, st.integers(14, 90), st.integers(0, 2**32))
def test_drawn_windows_of_long_pieces_are_never_crumbs(pieces, seq_len, seed):
    tokens, header = zip(*pieces, strict=True)
    windows = Tiling(tokens, header, seq_len=seq_len).draw(np.random.default_rng(seed))
    for index in range(len(windows)):
        piece, first, stop, _ = windows.at(index)
        span = seq_len - header[piece]
        assert stop - first >= min(span // 4, tokens[piece] - 1)


def test_a_piece_that_fits_is_one_window():
    windows = Tiling([101, 100, 102], [5, 1, 5], seq_len=100).tile()
    assert [windows.at(index) for index in range(len(windows))] == [
        Window(0, 1, 101),
        Window(1, 1, 100),
        Window(2, 1, 101),
        Window(2, 101, 102),
    ]


def test_boundaries_differ_between_draws():
    tiling = Tiling([5000], [3], seq_len=500)
    starts = {tuple(tiling.draw(np.random.default_rng(seed)).first) for seed in range(50)}
    assert len(starts) > 40


def test_pieces_just_longer_than_whole_windows_have_room_too():
    """Five windows would fit exactly: without the spare one all draws would be the same."""
    tiling = Tiling([3 + 1 + 5 * 97], [3], seq_len=100)
    assert len({tuple(tiling.draw(np.random.default_rng(seed)).first) for seed in range(50)}) > 10


def test_a_header_longer_than_a_window_is_an_error():
    with pytest.raises(ValueError, match="no room"):
        Tiling([500], [100], seq_len=100)


def test_no_pieces_are_no_windows():
    tiling = Tiling([], [], seq_len=100)
    assert len(tiling.tile()) == len(tiling.draw(np.random.default_rng(0))) == 0
