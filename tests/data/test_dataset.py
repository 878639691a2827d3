import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.support.datasets import make_profile
from tests.support.midi_files import write_tunes

from aurl.data.assignments import Assignment, write_assignments
from aurl.data.dataset import TokenDataset, open_dataset
from aurl.data.fingerprint import FINGERPRINT_SIZE
from aurl.data.manifest import Manifest, ShardEntry, shard_path, write_manifest
from aurl.data.prepare import prepare
from aurl.data.records import Record
from aurl.data.shards import Piece, write_shard
from aurl.data.windows import Window
from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import SEP

SEQ_LEN = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_tunes(root / "midi", 90)
    prepare([root / "midi"], make_profile(), root / "dataset", jobs=2)
    return root / "dataset"


@pytest.fixture(scope="module")
def dataset(folder):
    return TokenDataset(folder, "train", seq_len=SEQ_LEN)


def steps_before(ids, index):
    """Time at an id by a plain loop."""
    return sum(token - 255 for token in ids[:index].tolist() if 256 <= token < 768)


def test_splits_are_disjoint_and_complete(folder):
    opened = open_dataset(folder)
    hashes = {split: {record.sha256 for record in opened.records(split)} for split in opened.splits}
    assert len(set.union(*hashes.values())) == sum(map(len, hashes.values())) == 90
    assert all(size.pieces == len(hashes[split]) for split, size in opened.splits.items())


def test_windows_are_what_a_loop_over_whole_pieces_gives(dataset):
    pieces = [np.array(dataset.piece(number)) for number in range(len(dataset.pieces))]
    for index in range(len(dataset)):
        piece, first, stop, _ = dataset.windows.at(index)
        ids, item = pieces[piece], dataset[index]
        if first == 1:
            assert item.ids.tolist() == ids[:stop].tolist()
            assert (item.start_step, item.context) == (0, 1)
        else:
            header = ids.tolist().index(SEP) + 1
            assert item.ids.tolist() == [*ids[:header], *ids[first - 1 : stop]]
            assert item.start_step == steps_before(ids, first - 1)
            assert item.context == header + 1
        assert len(item.ids) <= SEQ_LEN + 1


@pytest.mark.parametrize("context", [1, 7])
def test_every_token_but_bos_is_a_target_once(folder, context):
    dataset = TokenDataset(folder, "valid", seq_len=SEQ_LEN, context=context)
    targets = [
        token for index in range(len(dataset)) for token in dataset[index].ids[dataset[index].context :].tolist()
    ]
    expected = [token for ids in open_dataset(folder).pieces("valid") for token in ids[1:].tolist()]
    assert targets == expected


def test_more_context_comes_before_the_same_targets(folder):
    dataset = TokenDataset(folder, "train", seq_len=SEQ_LEN, context=5)
    window = next(w for w in map(dataset.windows.at, range(len(dataset))) if w.first > 1)
    item, ids = dataset[window], dataset.piece(window.piece)
    assert item.ids[item.context - 5 : item.context].tolist() == ids[window.first - 5 : window.first].tolist()
    assert item.start_step == steps_before(ids, window.first - 5)


def test_it_travels_to_other_processes(dataset):
    there = pickle.loads(pickle.dumps(dataset))
    assert there[3].ids.tolist() == dataset[3].ids.tolist()


def test_a_damaged_shard_is_named_and_never_read(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    dataset = TokenDataset(copy, "train", seq_len=SEQ_LEN)
    name = dataset.pieces.columns.shards[0]
    path = copy / "shards" / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DamagedError, match=name):
        dataset[Window(0, 1, 10)]


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(NotFoundError) as caught:
        open_dataset(tmp_path)
    assert "--data" in caught.value.hint
    with pytest.raises(UsageError, match="split"):
        TokenDataset(folder, "training", seq_len=SEQ_LEN)
    with pytest.raises(UsageError, match="header"):
        TokenDataset(folder, "train", seq_len=5)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data_set(tmp_path):
    """Reading windows from all over 240 MB of tokens takes less than 100 MB more than reading none."""
    code = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
import numpy as np
from pathlib import Path
from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset
dataset = TokenDataset(Path({str(tmp_path)!r}), "train", seq_len=1024)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for place in np.random.default_rng(0).permutation(len(dataset))[:10_000]:
    dataset[int(place)]
for _ in loader(dataset, WindowSampler(dataset, batch_size=8)):
    pass
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    _make_large_dataset(tmp_path, shards=60, pieces=250, tokens=8000)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    scale = 1024 if sys.platform == "linux" else 1
    assert (after - before) * scale < 100 * 2**20


def _make_large_dataset(folder, *, shards, pieces, tokens):
    """A data set of `shards` x `pieces` pieces, straight into its shards."""
    profile, entries, assignments = make_profile('prepare.split={kind="hash", valid=0, test=0}'), [], []
    ids = np.random.default_rng(0).integers(0, 774, tokens).astype(np.uint16)
    for number in range(shards):
        name = f"{number:032x}"
        records = [Record("/a.mid", f"{number:032x}{row:032x}", tokens=tokens, header=1) for row in range(pieces)]
        rows = [Piece(ids, record, np.zeros(FINGERPRINT_SIZE, np.uint32)) for record in records]
        sha256 = write_shard(shard_path(folder, name), rows, [], "x")
        counts = {"pieces": pieces, "records": pieces, "tokens": tokens * pieces}
        size = shard_path(folder, name).stat().st_size
        entries.append(ShardEntry(name=name, sha256=sha256, bytes=size, **counts))
        assignments += [Assignment(record.sha256, "/a.mid", "train", "train") for record in records]
    sections = {name: getattr(profile, name).model_dump(mode="json") for name in ("prepare", "tokens")}
    facts = {"generation": "x", "created_with": "0", "signature": "x", "listing": "", "codec": Codec().signature()}
    names = {"assignments": write_assignments(folder, assignments)}
    write_manifest(folder, Manifest(**facts, **sections, **names, shards=tuple(entries)))
