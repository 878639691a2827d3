import pytest
import torch

from aurl.data.batching import WindowSampler
from aurl.data.dataset import TokenDataset
from aurl.data.hybrid import HybridView
from aurl.tokens.vocabulary import PAD
from aurl.training.batches import BatchStream, ValidationBatches, batch_counts

SEQ_LEN = 48


def stream(dataset, *, workers=0, epoch=0, batch=0, rank=0, world=1, batch_size=3):
    windows = TokenDataset(dataset, "train", seq_len=SEQ_LEN)
    sampler = WindowSampler(windows, batch_size=batch_size, seed=4, rank=rank, world=world)
    return BatchStream(windows, sampler, workers=workers, epoch=epoch, batch=batch)


def rows(batches):
    return [batch.inputs.tolist() for batch in batches]


@pytest.mark.parametrize(("workers", "begins"), [(0, (0, 5, 13, 29)), (2, (13,))])
def test_the_stream_goes_on_from_any_place(dataset, workers, begins):
    whole = stream(dataset)
    expected, places = [], [(0, 0)]
    for _ in range(40):
        expected += rows(whole.take(1))
        places.append(whole.commit())
    assert places[-1][0] == 1
    for begin in begins:
        epoch, batch = places[begin]
        again = stream(dataset, workers=workers, epoch=epoch, batch=batch)
        assert rows(again.take(40 - begin)) == expected[begin:]


def test_what_was_taken_but_not_committed_is_not_counted(dataset):
    some = stream(dataset)
    some.take(2)
    some.commit()
    some.take(3)
    assert (some.epoch, some.batch) == (0, 2)


def test_making_batches_leaves_the_random_numbers_alone(dataset):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    stream(dataset).take(20)
    assert torch.equal(torch.rand(1), expected)


def test_two_processes_divide_the_batches_of_one(dataset):
    one = stream(dataset, batch_size=4).take(6)
    two = [stream(dataset, batch_size=2, rank=rank, world=2).take(6) for rank in range(2)]
    for whole, first, second in zip(one, *two, strict=True):
        parts = [row for part in (first, second) for row in part.targets.tolist()]
        assert sorted(strip(parts)) == sorted(strip(whole.targets.tolist()))
        assert whole.counts.tokens == batch_counts([first, second]).tokens


def strip(lists):
    return [[token for token in row if token != PAD] for row in lists]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_validation_sees_every_target_once(dataset, world):
    windows = TokenDataset(dataset, "valid", seq_len=SEQ_LEN)
    pieces = [windows.piece(number) for number in range(len(windows.pieces))]
    shares = [ValidationBatches(windows, batch_size=2, rank=rank, world=world) for rank in range(world)]
    assert len({len(list(share)) for share in shares}) == 1
    counts = batch_counts(batch for share in shares for batch in share)
    assert counts.tokens == sum(len(ids) - 1 for ids in pieces)
    assert counts.notes == sum(int((ids < 128).sum()) for ids in pieces)


def test_what_follows_is_every_id_of_the_window_and_nothing_else(dataset):
    """Context, too, which is no target; and nothing where a window only fills the batch."""
    windows = TokenDataset(dataset, "valid", seq_len=SEQ_LEN)
    batches = [batch for rank in range(3) for batch in ValidationBatches(windows, batch_size=2, rank=rank, world=3)]
    context = 0
    for batch in batches:
        assert torch.equal(batch.following[:, :-1], batch.inputs[:, 1:])
        learned = batch.targets != PAD
        assert torch.equal(batch.following[learned], batch.targets[learned])
        context += int((batch.following[~learned] != PAD).sum())
        empty = ~learned.any(1)
        assert (batch.following[empty] == PAD).all()
    assert context > 0
    assert any((~(batch.targets != PAD).any(1)).any() for batch in batches)


def test_the_hybrid_view_goes_where_the_batch_goes(dataset):
    windows = TokenDataset(dataset, "train", seq_len=SEQ_LEN, hybrid=True)
    (batch, *_) = BatchStream(windows, WindowSampler(windows, batch_size=3)).take(1)
    assert set(batch.hybrid) == set(HybridView._fields)
    assert batch.hybrid["bar"].shape == batch.inputs.shape
    assert batch.hybrid["roll"].shape[:2] == (3, 128)
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    assert {part.device.type for part in (moved.inputs, moved.following, *moved.hybrid.values())} == {"meta"}
    assert moved.counts == batch.counts
