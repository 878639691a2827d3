import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.augmenting import marked
from tests.support.datasets import make_profile
from tests.support.midi_files import write_tunes

from aurl.augment.passage import Passage
from aurl.data.batching import WindowSampler, collate, loader
from aurl.data.curriculum import CURRICULUM
from aurl.data.dataset import TokenDataset, stack
from aurl.data.hybrid import HybridView
from aurl.data.prepare import prepare
from aurl.data.truncation import TRUNCATION
from aurl.data.windows import NOTHING, Window
from aurl.tokens.vocabulary import PAD, SEP


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_tunes(root / "midi", 50)
    prepare([root / "midi"], make_profile(), root / "dataset", jobs=2)
    return TokenDataset(root / "dataset", "train", seq_len=48)


def batches(dataset, **options):
    return listed(WindowSampler(dataset, **{"batch_size": 4, **options}))


def listed(sampler):
    return [list(batch) for batch in sampler]


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
    sizes = [[len(batch) for batch in part] for part in parts]
    assert all(size == sizes[0] for size in sizes)
    assert set(sizes[0][:-1]) <= {batch_size}
    windows = Counter(window for part in parts for batch in part for window in batch if window != NOTHING)
    assert set(windows.values()) == {1}
    assert len(windows) == len(dataset.draw(np.random.default_rng(0)))


@given(start=st.integers(0, 200), world=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_going_on_in_the_middle_gives_the_rest(dataset, start, world):
    for rank in range(world):
        whole = batches(dataset, seed=3, epoch=2, rank=rank, world=world)
        rest = WindowSampler(dataset, batch_size=4, seed=3, epoch=2, rank=rank, world=world, start_batch=start)
        assert listed(rest) == whole[start:]
        assert len(rest) == len(whole[start:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(world=st.integers(1, 7), batch_size=st.integers(1, 50))
def test_evaluation_scores_every_target_once_on_any_number_of_processes(dataset, world, batch_size):
    scored, counts = Counter(), set()
    for rank in range(world):
        part = batches(dataset, shuffle=False, rank=rank, world=world, batch_size=batch_size)
        counts.add((len(part), *map(len, part)))
        for batch in part:
            for piece, first, stop, _ in batch:
                scored.update((piece, target) for target in range(first, stop))
    assert len(counts) == 1
    assert set(scored.values()) == {1}
    assert len(scored) == sum(len(dataset.piece(number)) - 1 for number in range(len(dataset.pieces)))


def test_epochs_and_seeds_differ_and_repeat(dataset):
    assert batches(dataset, seed=1, epoch=1) == batches(dataset, seed=1, epoch=1)
    orders = [batches(dataset, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(orders[a] != orders[b] for a in range(4) for b in range(a))


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_give_the_samplers_order_over_epochs_and_from_the_middle(dataset, workers):
    sampler = WindowSampler(dataset, batch_size=4, seed=5)
    batched = loader(dataset, sampler, workers=workers)
    for epoch, start in ((0, 0), (1, 0), (7, 3)):
        sampler.set_epoch(epoch, start_batch=start)
        planned = batches(dataset, seed=5, epoch=epoch)
        expected = [collate(stack([dataset[window] for window in batch])) for batch in planned]
        found = list(batched)
        assert len(found) == len(expected) - start
        assert all(equal(one, other) for one, other in zip(found, expected[start:], strict=True))


def test_collate_pads_behind_the_end():
    short, long = (np.array(ids, np.uint16) for ids in ([775, 1, 776], [775, 7, 8, 9, 10]))
    found = collate(stack([Passage(short, header=1, context=1), Passage(long, header=2, context=3, start_step=1234)]))
    assert found["ids"].tolist() == [[775, 1, 776, PAD, PAD], [775, 7, 8, 9, 10]]
    assert found["ids"].dtype == torch.int64
    assert found["start_steps"].tolist() == [0, 1234]
    assert found["context"].tolist() == [1, 3]


def test_a_batch_of_nothing_still_has_an_input_and_a_target(dataset):
    world = len(dataset) + 1
    part = batches(dataset, shuffle=False, rank=world - 1, world=world, batch_size=1)
    assert part == [[NOTHING]]
    found = collate(dataset.__getitems__(part[0]))
    assert found["ids"].shape == (1, 2)
    position = torch.arange(2)
    assert (found["ids"][position >= found["context"][:, None]] == PAD).all()


def test_loading_draws_no_random_number_from_torch(dataset):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for _ in loader(dataset, WindowSampler(dataset, batch_size=4)):
        assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def cut(dataset):
    """The same pieces, cut in every way."""
    return {
        kind: TokenDataset(dataset.pieces.folder, "train", seq_len=64, truncation=TRUNCATION.build(kind))
        for kind in TRUNCATION.kinds()
    }


BATCHES = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "batch_tokens": st.none() | st.integers(1, 900),
        "seed": st.integers(0, 2**32 - 1),
        "epoch": st.integers(0, 3),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(TRUNCATION.kinds()),
    curriculum=st.none() | st.sampled_from(CURRICULUM.kinds()),
    options=BATCHES,
    world=st.integers(1, 3),
)
def test_the_windows_of_an_epoch_are_seen_once(cut, kind, curriculum, options, world):
    windows = cut[kind]
    if curriculum is not None:
        options = options | {"curriculum": CURRICULUM.build(curriculum, windows.pieces.columns, epochs=2.0)}
    parts = [batches(windows, **options, rank=rank, world=world) for rank in range(world)]
    sizes = [[len(batch) for batch in part] for part in parts]
    assert all(size == sizes[0] for size in sizes)
    found = [window for part in parts for batch in part for window in batch if window != NOTHING]
    plan = windows.draw(np.random.default_rng((options["seed"], options["epoch"])))
    expected = {(plan.at(index)[:3], index) for index in range(len(plan))}
    seen = [(window[:3], window.draw.place) for window in found]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= expected
    assert {window.draw[:2] for window in found} == {(options["seed"], options["epoch"])}
    if curriculum is None or options["epoch"] >= 1:
        assert len(seen) == len(expected)
    if options["batch_tokens"] is not None:
        for batch in (batch for part in parts for batch in part):
            longest = max(len(windows[window].ids) - 1 for window in batch)
            assert len(batch) * longest <= options["batch_tokens"] or len(batch) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(TRUNCATION.kinds()),
    options=BATCHES,
    start=st.integers(0, 60),
    rank=st.integers(0, 2),
    shuffle=st.booleans(),
)
def test_every_kind_goes_on_in_the_middle(cut, kind, options, start, rank, shuffle):
    windows = cut[kind]
    curriculum = CURRICULUM.build("length", windows.pieces.columns) if shuffle else None
    given = {**options, "curriculum": curriculum, "rank": rank, "world": 3, "shuffle": shuffle}
    rest = WindowSampler(windows, **given)
    assert listed(rest) == batches(windows, **given)
    rest.set_epoch(options["epoch"], start_batch=start)
    assert listed(rest) == batches(windows, **given)[start:]
    assert len(rest) == len(list(rest))


@given(tokens=st.integers(1, 900), world=st.integers(1, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_evaluation_in_buckets_scores_every_target_once(dataset, tokens, world):
    scored = Counter()
    for rank in range(world):
        for batch in batches(dataset, shuffle=False, batch_tokens=tokens, rank=rank, world=world):
            scored.update((piece, target) for piece, first, stop, _ in batch for target in range(first, stop))
    assert set(scored.values()) == {1}
    assert len(scored) == int(dataset.pieces.columns.tokens.sum()) - len(dataset.pieces)


def test_windows_that_were_drawn_are_augmented_by_their_own_chance(dataset):
    plain, changed = (
        TokenDataset(dataset.pieces.folder, "train", seq_len=48, augment=augment) for augment in (None, marked)
    )
    window = plain.draw(np.random.default_rng(0)).drawn(seed=5, epoch=2).at(3)
    expected = marked(plain[window], np.random.default_rng((5, 2, 3)), 2).ids[: 48 + 1]
    assert changed[window].ids.tolist() == expected.tolist()
    assert changed.__getitems__([window]).ids[0].tolist() == expected.tolist()
    assert changed[window._replace(draw=None)].ids.tolist() == plain[window].ids.tolist()
    assert changed[3].ids.tolist() == plain[3].ids.tolist()


def test_passages_say_what_is_in_force(dataset):
    """Of windows inside pieces, against a loop over the whole piece; a window at the start has nothing in force."""
    inside = 0
    for window in map(dataset.windows.at, range(len(dataset))):
        passage, ids = dataset[window], dataset.piece(window.piece).tolist()
        begin = window.first - 1 if window.first > 1 else 0
        before = ids[passage.header : begin]
        parts, levels = ([t for t in before if low <= t < high] for low, high in ((779, 811), (768, 774)))
        assert passage.part == (parts[-1] - 779 if parts else -1)
        assert passage.velocity == (levels[-1] - 768 if levels else -1)
        assert ids[passage.header - 1] == SEP
        inside += bool(parts) and bool(levels)
    assert inside > 20


def test_windows_that_are_varied_are_told_from_those_that_are_not(dataset):
    def sometimes(passage, rng, epoch):
        return marked(passage, rng, epoch) if rng.random() < 0.5 else passage

    plain, varied = (
        TokenDataset(dataset.pieces.folder, "train", seq_len=48, augment=augment) for augment in (None, sometimes)
    )
    sampler = WindowSampler(varied, batch_size=4, seed=3)
    sampler.set_epoch(1)
    found, changed = [], []
    for windows in sampler:
        rows = varied[windows] if isinstance(windows, int) else varied.__getitems__(windows)
        found += rows.augmented.tolist()
        changed += [not np.array_equal(plain[window].ids, varied[window].ids) for window in windows]
    assert found == changed
    assert 0 < sum(found) < len(found)
    assert plain.__getitems__([0, 1]).augmented is None


def test_loader_processes_give_the_same_however_a_batch_is_made(dataset):
    """Bucketed, augmented, with a curriculum and the hybrid view, from the middle of an epoch."""
    truncation = TRUNCATION.build("adaptive")
    windows = TokenDataset(
        dataset.pieces.folder, "train", seq_len=64, truncation=truncation, augment=marked, hybrid=True
    )
    curriculum = CURRICULUM.build("complexity", windows.pieces.columns)
    found = []
    for workers in (0, 2):
        sampler = WindowSampler(windows, batch_size=1, batch_tokens=256, curriculum=curriculum, seed=3)
        batched = loader(windows, sampler, workers=workers, prefetch=1)
        found.append([])
        for epoch, start in ((0, 2), (1, 0)):
            sampler.set_epoch(epoch, start_batch=start)
            found[-1] += list(batched)
    assert len(found[0]) == len(found[1]) > 10
    assert set(found[0][0]) == {"ids", "start_steps", "context", "augmented", *HybridView._fields}
    assert all(equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.slow
def test_loader_processes_end_with_the_process_that_they_load_for(dataset, tmp_path):
    """It is killed, so that it cannot tell them."""
    script = tmp_path / "load.py"
    script.write_text(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import psutil\n"
        "from aurl.data.batching import WindowSampler, loader\n"
        "from aurl.data.dataset import TokenDataset\n"
        "if __name__ == '__main__':\n"
        "    windows = TokenDataset(Path(sys.argv[1]), 'train', seq_len=48)\n"
        "    iterator = iter(loader(windows, WindowSampler(windows, batch_size=1), workers=2))\n"
        "    next(iterator)\n"
        "    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, script, dataset.pieces.folder], stdout=subprocess.PIPE, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    children = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    assert len(done.stdout.split()) >= 2
    assert not psutil.wait_procs(children, timeout=30)[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(TRUNCATION.kinds()), context=st.integers(1, 5), seq_len=st.integers(60, 900), data=st.data()
)
def test_many_windows_at_once_are_the_windows_one_by_one(dataset, kind, context, seq_len, data):
    """Of any bounds, also such as no sampler draws: without targets, from inside the header, to the end of a piece."""
    windows = TokenDataset(
        dataset.pieces.folder, "train", seq_len=seq_len, context=context, truncation=TRUNCATION.build(kind)
    )
    drawn = windows.draw(np.random.default_rng(data.draw(st.integers(0, 99))))
    some = [drawn.at(index) for index in data.draw(st.lists(st.integers(0, len(drawn) - 1), min_size=1, max_size=9))]
    some += data.draw(st.lists(st.just(NOTHING) | st.just(Window(2, 1, 3)), max_size=2))
    one_by_one = stack([windows[window] for window in some])
    together = windows.__getitems__(some)
    assert all(np.array_equal(one, other) for one, other in zip(one_by_one[:3], together[:3], strict=True))
    assert together.ids.dtype == np.int64
