import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.datasets import make_profile
from tests.support.midi_files import write_tunes

from aurl.data import pieces
from aurl.data.pieces import PieceReader
from aurl.data.prepare import prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Many small shards."""
    root = tmp_path_factory.mktemp("data")
    write_tunes(root / "midi", 40)
    profile = make_profile('prepare.split={kind="hash", valid=0, test=0}', "prepare.shard_tokens=1000")
    prepare([root / "midi"], profile, root / "dataset", jobs=1)
    return root / "dataset"


@pytest.fixture(scope="module")
def reader(folder):
    return PieceReader(folder, "train")


@given(length=st.integers(0, 3000), seed=st.integers(0, 2**32), count=st.integers(1, 30))
def test_ids_are_cut_out_of_shards_of_any_size(reader, length, seed, count):
    """What is beyond the end of a piece may be anything, also where the whole shard ends."""
    rng = np.random.default_rng(seed)
    piece = rng.integers(0, len(reader), count)
    begins = [(rng.random(count) * reader.columns.tokens[piece]).astype(np.int64) for _ in range(2)]
    for begin, found in zip(begins, reader.cut(piece, (begins[0], length), (begins[1], length)), strict=True):
        assert found.shape == (count, length)
        for row, number, place in zip(found, piece.tolist(), begin.tolist(), strict=True):
            expected = reader.piece(number)[place : place + length]
            assert row[: len(expected)].tolist() == expected.tolist()


@pytest.mark.parametrize(("open_shards", "resident"), [(1, 0), (3, 5000), (256, 0)])
def test_what_was_let_go_of_is_read_again(folder, monkeypatch, open_shards, resident):
    monkeypatch.setattr(pieces, "OPEN_SHARDS", open_shards)
    monkeypatch.setattr(pieces, "RESIDENT_BYTES", resident)
    expected = [PieceReader(folder, "train").piece(number).tolist() for number in range(40)]
    reader = PieceReader(folder, "train")
    assert len(reader.columns.shards) > 4
    for number in np.random.default_rng(0).integers(0, 40, 200).tolist():
        assert reader.piece(number).tolist() == expected[number]
        assert len(reader._open) <= open_shards
