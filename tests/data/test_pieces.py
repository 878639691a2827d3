import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aurl.data.pieces import Found


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 60), st.integers(0, 2**32), st.data())
def test_ids_are_cut_out_of_shards_of_any_size(sizes, length, seed, data):
    """What is beyond the end of a shard may be anything, but nothing else is touched."""
    rng = np.random.default_rng(seed)
    shards = [rng.integers(1, 1000, size).astype(np.uint16) for size in sizes]
    for shard in shards:
        shard.flags.writeable = False
    places = [data.draw(st.tuples(st.just(0), st.integers(0, sizes[0] - 1))) for _ in range(3)]
    places += [(number, size - 1) for number, size in enumerate(sizes)]
    numbers, at = (np.array(column) for column in zip(*places, strict=True))
    groups = []
    for number, ids in enumerate(shards):
        some = np.flatnonzero(numbers == number)
        groups.append((some, ids, at[some] // 2))
    found = Found(len(places), groups).cut(at - at // 2, length)
    assert found.shape == (len(places), length)
    for row, number, place in zip(found, numbers, at, strict=True):
        expected = shards[number][place : place + length]
        assert row[: len(expected)].tolist() == expected.tolist()
