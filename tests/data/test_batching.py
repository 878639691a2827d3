from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.datasets import make_profile
from tests.support.midi_files import write_tunes

from aurl.data.batching import WindowSampler, collate, loader
from aurl.data.dataset import Item, TokenDataset
from aurl.data.prepare import prepare
from aurl.tokens.vocabulary import PAD


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_tunes(root / "midi", 50)
    prepare([root / "midi"], make_profile(), root / "dataset", jobs=2)
    return TokenDataset(root / "dataset", "train", seq_len=48)


def batches(dataset, **options):
    return list(WindowSampler(dataset, **{"batch_size": 4, **options}))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 1000), world=st.integers(1, 5), batch_size=st.integers(1, 9)
)
def test_processes_share_an_epoch_without_overlap(dataset, seed, epoch, world, batch_size):
    parts = [
        batches(dataset, seed=seed, epoch=epoch, rank=rank, world=world, batch_size=batch_size) for rank in range(world)
    ]
    assert len({len(part) for part in parts}) == 1
    assert all(len(batch) == batch_size for part in parts for batch in part)
    windows = Counter(window for part in parts for batch in part for window in batch)
    assert max(windows.values()) == 1
    left_out = dataset.tiling.drawn - len(windows)
    assert 0 <= left_out < world * batch_size


@given(start=st.integers(0, 200), world=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_going_on_in_the_middle_gives_the_rest(dataset, start, world):
    for rank in range(world):
        whole = batches(dataset, seed=3, epoch=2, rank=rank, world=world)
        rest = WindowSampler(dataset, batch_size=4, seed=3, epoch=2, rank=rank, world=world, start_batch=start)
        assert list(rest) == whole[start:]
        assert len(rest) == len(whole[start:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(world=st.integers(1, 7), batch_size=st.integers(1, 50))
def test_evaluation_scores_every_target_once_on_any_number_of_processes(dataset, world, batch_size):
    scored, counts = Counter(), set()
    for rank in range(world):
        part = batches(dataset, shuffle=False, rank=rank, world=world, batch_size=batch_size)
        counts.add((len(part), *map(len, part)))
        for batch in part:
            for piece, first, stop in batch:
                scored.update((piece, target) for target in range(first, stop))
    assert len(counts) == 1
    assert set(scored.values()) == {1}
    assert len(scored) == sum(len(dataset.piece(number)) - 1 for number in range(len(dataset.pieces)))


def test_epochs_and_seeds_differ_and_repeat(dataset):
    assert batches(dataset, seed=1, epoch=1) == batches(dataset, seed=1, epoch=1)
    orders = [batches(dataset, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(orders[a] != orders[b] for a in range(4) for b in range(a))


def test_less_than_one_batch_is_filled_up(dataset):
    size = dataset.tiling.drawn + 5
    (batch,) = batches(dataset, batch_size=size)
    assert len(batch) == size
    assert len(set(batch)) == dataset.tiling.drawn


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_give_the_samplers_order_over_epochs_and_from_the_middle(dataset, workers):
    sampler = WindowSampler(dataset, batch_size=4, seed=5)
    batched = loader(dataset, sampler, workers=workers)
    for epoch, start in ((0, 0), (1, 0), (7, 3)):
        sampler.set_epoch(epoch, start_batch=start)
        expected = [collate([dataset[window] for window in batch]) for batch in batches(dataset, seed=5, epoch=epoch)]
        found = list(batched)
        assert len(found) == len(expected) - start
        assert all(equal(one, other) for one, other in zip(found, expected[start:], strict=True))


def test_collate_pads_behind_the_end():
    items = [Item(np.array([775, 1, 776], np.uint16), 0, 1), Item(np.array([775, 7, 8, 9, 10], np.uint16), 1234, 3)]
    found = collate(items)
    assert found["ids"].tolist() == [[775, 1, 776, PAD, PAD], [775, 7, 8, 9, 10]]
    assert found["ids"].dtype == torch.int64
    assert found["start_steps"].tolist() == [0, 1234]
    assert found["context"].tolist() == [1, 3]


def test_a_batch_of_nothing_still_has_an_input_and_a_target(dataset):
    part = batches(dataset, shuffle=False, rank=6, world=7, batch_size=len(dataset))
    found = collate([dataset[window] for window in part[-1]])
    assert found["ids"].shape == (len(dataset), 2)
    position = torch.arange(2)
    assert (found["ids"][position >= found["context"][:, None]] == PAD).all()


def test_loading_draws_no_random_number_from_torch(dataset):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for _ in loader(dataset, WindowSampler(dataset, batch_size=4)):
        assert torch.equal(torch.get_rng_state(), before)
