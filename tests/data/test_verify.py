"""Damage to a data set is found, mended where that can be, and told where it cannot."""

import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.support.datasets import contents, make_profile
from tests.support.midi_files import write_tunes

from aurl.data.cache import TokenCache
from aurl.data.dataset import open_dataset
from aurl.data.manifest import read_manifest
from aurl.data.prepare import prepare
from aurl.data.repair import ENCODED, FROM_CACHE, PREPARED, REBUILT, Repair
from aurl.data.verify import verify_dataset
from aurl.progress import Interrupts
from aurl.storage import lock, write_json

PROFILE = make_profile("prepare.shard_tokens=4000", 'tokens.header=["key"]')


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of 30 tunes in several shards, and one tune that has left it; nobody writes to it."""
    folder = tmp_path_factory.mktemp("made")
    paths = write_tunes(folder / "midi", 31)
    prepare([folder / "midi"], PROFILE, folder / "songs", jobs=1)
    paths[-1].unlink()
    prepare([folder / "midi"], PROFILE, folder / "songs", jobs=1)
    write_json(folder / "songs" / "sources.json", [str(folder / "midi")])
    assert len(read_manifest(folder / "songs").shards) > 2
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the data set; its files are where they were."""
    shutil.copytree(made / "songs", tmp_path / "songs")
    return tmp_path / "songs"


@pytest.fixture
def midi(made):
    """The files, which a test may take away for a while."""
    shutil.copytree(made / "midi", made / "kept")
    yield made / "midi"
    shutil.rmtree(made / "midi", ignore_errors=True)
    (made / "kept").rename(made / "midi")


def shard(folder, number=0):
    return folder / "shards" / f"{read_manifest(folder).shards[number].name}.safetensors"


def flip(path, bit=-1):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def state(folder):
    """Every file that belongs to the data set as it is now, without what is left of the state before."""
    manifest = read_manifest(folder)
    old = {path.name for path in folder.glob("assignments-*")} - {manifest.assignments}
    old |= {path.name for path in (folder / "shards").iterdir()} - {f"{e.name}.safetensors" for e in manifest.shards}
    return {name: content for name, content in contents(folder).items() if Path(name).name not in old}


def faulty(checked):
    return {damage.path for damage in checked.damage if not damage.mended}


def mended(checked):
    return {damage.path.name: damage.mended for damage in checked.damage}


def set_aside(midi, folder, number=0):
    """Take away the files of a shard; returns their paths."""
    with sqlite3.connect(folder / "index.sqlite") as connection:
        rows = connection.execute("SELECT source FROM pieces WHERE live AND shard = ?", (shard(folder, number).stem,))
        paths = sorted(source.decode() for (source,) in rows)
    connection.close()
    for path in paths:
        Path(path).unlink()
    return paths


def test_a_whole_data_set_is_whole(folder):
    reports = []
    checked = verify_dataset(folder, report=reports.append)
    total = len(read_manifest(folder).shards)
    assert (checked.shards, checked.damage, checked.lost, checked.locked) == (total, (), (), "")
    assert (reports[-1].done, reports[-1].total) == (total, total)
    assert Repair(folder).run().damage == ()


def test_a_data_set_in_use_is_said_to_be(folder):
    with lock(folder / ".lock"):
        assert "in use by process" in verify_dataset(folder).locked
        assert "in use by process" in Repair(folder).run().locked


def test_whoever_is_asked_to_stop_looks_no_further(folder):
    interrupts = Interrupts()
    interrupts.stop = 2
    assert verify_dataset(folder, interrupts=interrupts).shards == 0


def test_a_repair_that_is_asked_to_stop_claims_nothing(folder):
    """The signal comes once everything has been looked at."""
    interrupts = Interrupts()
    victim, total = shard(folder), len(read_manifest(folder).shards)

    def report(progress):
        interrupts.stop = 2 if progress.done == total else None

    flip(victim)
    (folder / "audit.json").write_text("")
    checked = Repair(folder, jobs=1, report=report, interrupts=interrupts).run()
    assert faulty(checked) == {victim, folder / "audit.json"}
    assert faulty(verify_dataset(folder)) == {victim, folder / "audit.json"}


def test_a_piece_of_the_index_that_only_assignments_could_fill_is_left_to_prepare(folder, made):
    (folder / "index.sqlite").unlink()
    flip(folder / read_manifest(folder).assignments)
    checked = Repair(folder, jobs=1).run()
    assert set(mended(checked).values()) == {PREPARED}
    assert verify_dataset(folder).damage == ()
    assert open_dataset(folder).splits == open_dataset(made / "songs").splits


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_in_a_shard_is_found_and_the_bytes_come_back(folder, made, seed):
    """Without worker processes: from a cache."""
    victim = shard(folder, seed % len(read_manifest(folder).shards))
    flip(victim, random.Random(seed).randrange(8 * victim.stat().st_size))
    assert faulty(verify_dataset(folder)) == {victim}
    with TokenCache(folder.parent / "cache", max_bytes=0) as cache:
        cache.merge(made / "songs")
        assert mended(Repair(folder, cache).run()) == {victim.name: FROM_CACHE}
    assert contents(folder) == contents(made / "songs")
    assert verify_dataset(folder).damage == ()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), flip, lambda path: path.write_bytes(b"half")])
def test_a_shard_that_nobody_else_has_is_encoded_again_to_the_same_bytes(folder, made, damage):
    damage(shard(folder))
    checked = Repair(folder, jobs=1).run()
    assert mended(checked) == {shard(folder).name: ENCODED}
    assert checked.lost == ()
    assert contents(folder) == contents(made / "songs")


def test_a_cached_shard_that_is_the_very_same_file_is_of_no_help(folder, made):
    with TokenCache(folder.parent / "cache", max_bytes=0) as cache:
        cache.merge(folder)
        flip(shard(folder))
        assert len(cache.verify().damage) == 1
        assert mended(Repair(folder, cache, jobs=1).run()) == {shard(folder).name: ENCODED}
    assert contents(folder) == contents(made / "songs")


def test_what_one_data_set_has_encoded_again_helps_the_others(folder, made):
    shutil.copytree(folder, folder.parent / "others")
    with TokenCache(folder.parent / "cache", max_bytes=0) as cache:
        for one, outcome in ((folder, ENCODED), (folder.parent / "others", FROM_CACHE)):
            flip(shard(one))
            assert mended(Repair(one, cache, jobs=1).run()) == {shard(one).name: outcome}
            assert contents(one) == contents(made / "songs")


def test_what_is_gone_from_both_places_is_lost_and_named(folder, midi):
    gone = set_aside(midi, folder)
    flip(shard(folder))
    checked = Repair(folder, jobs=1).run()
    assert set(mended(checked).values()) == {PREPARED}
    assert list(checked.lost) == gone
    assert verify_dataset(folder).damage == ()
    assert sum(size.pieces for size in open_dataset(folder).splits.values()) == 30 - len(gone)


def test_what_can_be_read_somewhere_is_not_lost(folder, midi):
    first, *others = set_aside(midi, folder)
    shutil.copy(midi.parent / "kept" / Path(first).relative_to(midi), midi / "renamed.mid")
    flip(shard(folder))
    checked = Repair(folder, jobs=1).run()
    assert list(checked.lost) == others
    assert verify_dataset(folder).damage == ()


def test_whole_pieces_are_not_given_up_for_a_damaged_shard(folder, midi):
    """A disk that is not mounted must not empty the data set."""
    set_aside(midi, folder, 0)
    set_aside(midi, folder, 1)
    flip(shard(folder))
    before = contents(folder)
    checked = Repair(folder, jobs=1).run()
    assert faulty(checked) == {shard(folder)}
    assert "pieces that are whole would be lost" in checked.damage[0].fault
    assert contents(folder) == before


def test_nothing_is_touched_where_all_files_are_gone(folder, midi):
    for number in range(len(read_manifest(folder).shards)):
        flip(shard(folder, number))
    before = contents(folder)
    shutil.rmtree(midi)
    midi.mkdir()
    checked = Repair(folder, jobs=1).run()
    assert len(faulty(checked)) == len(read_manifest(folder).shards)
    assert str(midi) in checked.damage[0].fault
    assert contents(folder) == before


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_in_the_index_is_found_or_of_no_consequence(folder, made, seed):
    path = folder / "index.sqlite"
    flip(path, random.Random(seed).randrange(8 * path.stat().st_size))
    checked = verify_dataset(folder)
    assert {damage.path for damage in checked.damage} <= {path}
    if checked.damage:
        assert mended(Repair(folder).run()) == {path.name: REBUILT}
        assert verify_dataset(folder).damage == ()
    assert open_dataset(folder).splits == open_dataset(made / "songs").splits
    assert contents(folder) == contents(made / "songs")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pieces SET tokens = tokens + 1 WHERE row = 0",
        "UPDATE pieces SET live = 1 - live WHERE row = 1",
        "DELETE FROM pieces WHERE row = 0",
        "UPDATE pieces SET row = 1000 WHERE row = 0",
        "UPDATE assignments SET split = 'train'",
        "DELETE FROM assignments WHERE split = 'test'",
        "UPDATE about SET value = 'another' WHERE key = 'generation'",
        "DROP TABLE assignments",
    ],
)
def test_an_index_that_tells_something_else_is_found(folder, made, change):
    with sqlite3.connect(folder / "index.sqlite") as connection:
        connection.execute(change)
    connection.close()
    assert faulty(verify_dataset(folder)) == {folder / "index.sqlite"}
    assert mended(Repair(folder).run()) == {"index.sqlite": REBUILT}
    assert open_dataset(folder).splits == open_dataset(made / "songs").splits


def test_what_an_interrupted_run_leaves_is_no_damage(folder, made):
    interrupts = Interrupts()
    other = make_profile("prepare.shard_tokens=4000", "prepare.min_notes=2")
    told = prepare(
        [made / "midi"], other, folder, jobs=1, interrupts=interrupts, report=lambda _: setattr(interrupts, "stop", 2)
    )
    assert told.interrupted
    assert verify_dataset(folder).damage == ()
    assert open_dataset(folder).splits == open_dataset(made / "songs").splits


def test_a_lost_index_is_made_again_and_the_next_run_has_nothing_to_encode(folder, made):
    (folder / "index.sqlite").unlink()
    assert faulty(verify_dataset(folder)) == {folder / "index.sqlite"}
    Repair(folder).run()
    assert verify_dataset(folder).damage == ()
    assert prepare([made / "midi"], PROFILE, folder, jobs=1).new == 0


def test_lost_assignments_come_back_from_the_index(folder, made):
    path = folder / read_manifest(folder).assignments
    for damage in (Path.unlink, flip):
        damage(path)
        assert faulty(verify_dataset(folder)) == {path}
        assert mended(Repair(folder).run()) == {path.name: REBUILT}
        assert contents(folder) == contents(made / "songs")


@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_bit_in_the_manifest_is_found(folder, seed):
    path = folder / "manifest.json"
    before = json.loads(path.read_text())
    flip(path, random.Random(seed).randrange(8 * path.stat().st_size))
    try:
        same = json.loads(path.read_bytes()) == before
    except ValueError:
        same = False
    assert faulty(verify_dataset(folder)) == (set() if same else {path})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"tokens": ', '"tokens": 1', 2),
        lambda text: text.replace("4000", "4001"),
        lambda text: text[:-20] + "}",
    ],
)
def test_a_damaged_manifest_is_written_again(folder, made, damage, monkeypatch):
    """What can be read of its settings is taken; of none, those that hold now are tried."""
    monkeypatch.setattr("aurl.data.repair.load_profile", lambda **_: PROFILE)
    text = (folder / "manifest.json").read_text()
    assert damage(text) != text
    (folder / "manifest.json").write_text(damage(text))
    checked = Repair(folder, jobs=1).run()
    assert mended(checked) == {"manifest.json": PREPARED}
    assert checked.lost == ()
    assert verify_dataset(folder).damage == ()
    assert open_dataset(folder).splits == open_dataset(made / "songs").splits


def test_a_lost_manifest_whose_settings_nobody_knows_stays_lost_and_nothing_else_does(folder):
    (folder / "manifest.json").unlink()
    before = contents(folder)
    checked = Repair(folder).run()
    assert faulty(checked) == {folder / "manifest.json"}
    assert "its settings cannot be told" in checked.damage[0].fault
    assert contents(folder) == before


@pytest.mark.parametrize("sources", [None, "[7]", "{"])
def test_where_nobody_knows_what_it_was_made_from_the_damage_stays(folder, sources):
    (folder / "sources.json").unlink()
    if sources:
        (folder / "sources.json").write_text(sources)
    (folder / "audit.json").write_text("{}")
    checked = Repair(folder).run()
    assert faulty(checked) == {folder / "audit.json"}
    assert "what it was made from cannot be told" in checked.damage[0].fault


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text.replace('"notes": 1', '"notes": 2', 1)])
def test_a_damaged_audit_is_counted_again(folder, made, damage):
    text = (folder / "audit.json").read_text()
    assert damage(text) != text
    (folder / "audit.json").write_text(damage(text))
    assert faulty(verify_dataset(folder)) == {folder / "audit.json"}
    assert mended(Repair(folder, jobs=1).run()) == {"audit.json": PREPARED}
    assert state(folder) == state(made / "songs")


def test_all_of_it_at_once(folder, made):
    for number in range(2):
        flip(shard(folder, number))
    for name in ("index.sqlite", "audit.json", read_manifest(folder).assignments):
        (folder / name).write_bytes(b"nothing of the kind")
    checked = Repair(folder, jobs=1).run()
    assert len(checked.damage) == 5
    assert faulty(checked) == set()
    assert checked.lost == ()
    assert verify_dataset(folder).damage == ()
    assert state(folder) == state(made / "songs")
