import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aurl.data.buckets import POOL_STEPS, by_count, by_tokens

LENGTHS = st.lists(st.integers(0, 300), max_size=400).map(lambda lengths: np.array(lengths, np.int64))
WORLDS = st.integers(1, 4)


def groups(steps):
    return [steps.order[steps.edges[number] : steps.edges[number + 1]] for number in range(len(steps))]


def padding(steps, lengths, world):
    """Share of what is read that is padding."""
    padded = sum(world * -(-len(group) // world) * int(lengths[group].max()) for group in groups(steps))
    return 1 - lengths[steps.order].sum() / padded


@given(LENGTHS, st.integers(1, 900), WORLDS, st.none() | st.integers(0, 2**32))
def test_every_window_is_in_one_step_and_no_batch_has_too_many_tokens(lengths, tokens, world, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    order = np.random.default_rng(0).permutation(len(lengths))[: len(lengths) // 2 + 1]
    steps = by_tokens(order, lengths, tokens=tokens, world=world, rng=rng)
    assert sorted(steps.order) == sorted(order)
    for number, group in enumerate(groups(steps)):
        shares = [steps.share(number, rank, world) for rank in range(world)]
        assert sorted(np.concatenate([places for places, _ in shares])) == sorted(group)
        (count,) = {count for _, count in shares}
        assert all(count - 1 <= len(places) <= count for places, _ in shares)
        assert count * lengths[group].max() <= tokens or count == 1


@given(LENGTHS, st.integers(1, 30), WORLDS)
def test_counted_steps_keep_the_order(lengths, count, world):
    order = np.random.default_rng(1).permutation(len(lengths))
    steps = by_count(order, count=count * world)
    assert steps.order.tolist() == order.tolist()
    assert [len(group) for group in groups(steps)][:-1] == [count * world] * max(len(steps) - 1, 0)
    assert len(steps) == -(-len(lengths) // (count * world))


def test_batches_are_full_and_hardly_padded():
    lengths = np.random.default_rng(0).integers(20, 1025, 20_000)
    order = np.random.default_rng(1).permutation(len(lengths))
    bucketed = by_tokens(order, lengths, tokens=8192, world=2, rng=np.random.default_rng(2))
    assert padding(bucketed, lengths, 2) < 0.05
    assert padding(by_count(order, count=16), lengths, 2) > 0.3
    assert len(bucketed) < 1.1 * lengths.sum() / (2 * 8192)


def test_batches_differ_between_epochs_and_do_not_come_in_order_of_length():
    lengths = np.random.default_rng(0).integers(20, 1025, 20_000)
    epochs = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        steps = by_tokens(rng.permutation(len(lengths)), lengths, tokens=8192, world=1, rng=rng)
        epochs.append({frozenset(group.tolist()) for group in groups(steps)})
    assert len(epochs[0] & epochs[1]) < 0.01 * len(epochs[0])
    longest = np.array([lengths[group].max() for group in groups(steps)])
    assert abs(np.corrcoef(longest[1:], longest[:-1])[0, 1]) < 0.1


def test_windows_stay_near_their_place_in_the_order():
    """So that a curriculum, which is an order, stays one."""
    lengths = np.random.default_rng(0).integers(20, 1025, 50_000)
    steps = by_tokens(np.arange(50_000), lengths, tokens=8192, world=1, rng=np.random.default_rng(1))
    moved = np.abs(steps.order - np.arange(50_000)).max()
    assert moved < 1.1 * POOL_STEPS * 8192 / lengths.mean() < 10_000
