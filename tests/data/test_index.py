"""What becomes of an index that is lost, damaged, or another version's: the shards are the truth."""

import random
import sqlite3

import pytest
from tests.support.datasets import make_profile
from tests.support.midi_files import write_file, write_tunes

from aurl.data import index
from aurl.data.index import Index
from aurl.data.manifest import read_manifest, shard_path
from aurl.data.prepare import prepare
from aurl.errors import DamagedError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("indexed")
    write_tunes(root / "midi", 12)
    write_file(root / "midi" / "broken.mid", b"no music")
    prepare([root / "midi"], make_profile(), root / "dataset", jobs=1)
    return root / "dataset"


@pytest.fixture
def folder(prepared):
    """A data set that every test gets as it was."""
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    yield prepared
    for path in prepared.glob(f"{index.NAME}*"):
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)


def everything(opened):
    """All that an index tells beside the listing of files."""
    splits = [opened.pieces(split)[:3] for split in ("train", "valid", "test")]
    where = [(shards, shard.tolist(), row.tolist()) for shards, shard, row in splits]
    return opened.places(), opened.assignments(), opened.served_rows(), where


def damage(folder, at, bit):
    path = shard_path(folder, read_manifest(folder).shards[0].name)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)


def test_an_index_of_another_version_is_made_anew(folder):
    manifest = read_manifest(folder)
    with Index.load(folder, manifest) as opened:
        expected = everything(opened)
    with sqlite3.connect(folder / index.NAME) as connection:
        connection.execute("UPDATE about SET value = '1' WHERE key = 'version'")
        connection.execute("CREATE TABLE of_another_version (number INTEGER)")
        connection.execute("CREATE VIEW seen AS SELECT * FROM of_another_version")
    connection.close()
    with Index.load(folder, manifest) as opened:  # for readers the shards are enough
        assert everything(opened) == expected
    with Index.open(folder) as opened:
        assert opened.about("version") == str(index.VERSION)
        assert not opened.places()
        tables = {name for (name,) in opened.connection.execute("SELECT name FROM sqlite_master")}
        assert not tables & {"of_another_version", "seen"}
        assert opened.follow(folder, manifest) == list(manifest.shards)
        assert opened.places() == expected[0]


def test_what_is_no_database_is_made_anew(folder):
    (folder / index.NAME).write_bytes(b"no database" * 1000)
    with Index.load(folder, read_manifest(folder)) as opened:
        places = opened.places()
    assert len(places) == 13
    with Index.open(folder) as opened:
        opened.follow(folder, read_manifest(folder))
        assert opened.places() == places


def test_changes_are_made_together_or_not_at_all(folder):
    with Index.open(folder) as opened:
        before = opened.places()
        with pytest.raises(KeyboardInterrupt):
            drop_half_way(opened, folder)
        assert opened.places() == before


def drop_half_way(opened, folder):
    with opened.transaction():
        opened.drop([entry.name for entry in read_manifest(folder).shards])
        assert not opened.places()
        raise KeyboardInterrupt


def test_no_flipped_bit_of_a_shard_gets_into_an_index(folder):
    """Without an index: readers are told, and whoever prepares makes what was in that shard again."""
    (folder / index.NAME).unlink()
    manifest, rng = read_manifest(folder), random.Random(0)
    path = shard_path(folder, manifest.shards[0].name)
    whole, found = path.read_bytes(), 0
    for _ in range(100):
        damage(folder, rng.randrange(len(whole)), rng.randrange(8))
        try:
            Index.load(folder, manifest).close()
        except DamagedError:
            found += 1
            with Index.open(folder) as opened:
                assert opened.follow(folder, manifest) == list(manifest.shards[1:])
        path.write_bytes(whole)
        for left in folder.glob(f"{index.NAME}*"):
            left.unlink()
    assert found > 90  # the others are spaces of the header, or letters of names


def test_a_shard_that_is_missing_is_told(folder):
    (folder / index.NAME).unlink()
    shard_path(folder, read_manifest(folder).shards[0].name).unlink()
    with pytest.raises(DamagedError, match="missing or damaged"):
        Index.load(folder, read_manifest(folder))
