import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.support.datasets import contents, make_profile
from tests.support.midi_files import smf, tune, write_file, write_tunes

from aurl.data.dataset import open_dataset
from aurl.data.manifest import read_manifest
from aurl.data.prepare import prepare, recipe_of
from aurl.errors import AurlError, LockedError, NotFoundError
from aurl.midi.read import read_score
from aurl.progress import Interrupts
from aurl.storage import lock


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "midi"
    write_tunes(folder, 40)
    write_file(folder / "empty.mid", b"")
    write_file(folder / "text.mid", b"This is no music." * 10)
    write_file(folder / "silent.mid", smf([]))
    write_file(folder / "z-copy.mid", tune(3))
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dataset"


PROFILE = make_profile()
ONE = {"jobs": 1}


def test_every_file_is_accounted_for(library, folder):
    result = prepare([library], PROFILE, folder, jobs=2)
    assert (result.files, result.prepared, result.rejected, result.duplicates) == (44, 40, 3, 1)
    assert sum(reject.files for reject in result.rejects.values()) == 3
    assert result.rejects["no_notes"].examples == (str(library / "silent.mid"),)
    assert sum(split.pieces for split in result.splits.values()) == 40
    assert sum(split.tokens for split in result.splits.values()) == result.tokens
    assert (result.new, result.reused, result.removed) == (43, 0, 0)
    assert not result.unchanged


def test_ids_and_records_are_those_of_the_files(library, folder):
    prepare([library], PROFILE, folder, jobs=2)
    opened = open_dataset(folder)
    pieces = 0
    for split, size in opened.splits.items():
        for ids, record in zip(opened.pieces(split), opened.records(split), strict=True):
            score = read_score(Path(record.source).read_bytes()).score
            expected = opened.codec.encode(score)
            assert np.array_equal(ids, expected.ids)
            assert record.maps == expected.maps.to_json()
            assert (record.tokens, record.notes) == (len(ids), score.note_count)
            assert record.instruments == (score.tracks[0].program,)
            assert record.meter == "4/4"
            assert 60 <= record.tempo <= 180
        pieces += size.pieces
    assert pieces == 40


def test_an_unchanged_folder_is_not_read_again(library, folder, monkeypatch):
    first = prepare([library], PROFILE, folder, jobs=1)
    before = contents(folder)
    monkeypatch.setattr("aurl.data.prepare.Update", None)
    second = prepare([library], PROFILE, folder, jobs=1)
    assert second.unchanged
    assert contents(folder) == before
    facts = {"seconds": 0, "new": 0, "reused": 0, "unchanged": False}
    assert dataclasses.replace(second, **facts) == dataclasses.replace(first, **facts)


def test_the_number_of_workers_does_not_matter(library, tmp_path):
    prepare([library], PROFILE, tmp_path / "one", jobs=1)
    prepare([library], PROFILE, tmp_path / "three", jobs=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_new_changed_moved_and_removed_files(library, folder, tmp_path):
    prepare([library], PROFILE, folder, jobs=1)
    write_tunes(library, 5, first=100)
    write_file(library / "part-0" / "tune-000.mid", tune(200))
    (library / "part-1" / "tune-001.mid").rename(library / "moved.mid")
    (library / "part-2" / "tune-002.mid").unlink()
    result = prepare([library], PROFILE, folder, jobs=1)
    assert (result.files, result.prepared, result.rejected, result.duplicates) == (48, 44, 3, 1)
    assert (result.new, result.removed) == (6, 2)
    afresh = tmp_path / "afresh"
    prepare([library], PROFILE, afresh, jobs=1)
    assert all_pieces(folder) == all_pieces(afresh)
    assert json.loads((folder / "audit.json").read_text()) == json.loads((afresh / "audit.json").read_text())


def all_pieces(folder):
    opened = open_dataset(folder)
    found = {}
    for split in opened.splits:
        both = zip(opened.pieces(split), opened.records(split), strict=True)
        found[split] = {(record.sha256, ids.tobytes()) for ids, record in both}
    return found


def test_a_file_that_comes_back_is_not_encoded_again(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    path = library / "part-0" / "tune-000.mid"
    path.unlink()
    assert prepare([library], PROFILE, folder, jobs=1).prepared == 39
    write_file(path, tune(0))
    result = prepare([library], PROFILE, folder, jobs=1)
    assert (result.prepared, result.new) == (40, 0)


def test_when_the_first_of_two_equal_files_goes_the_other_stays(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    (library / "part-0" / "tune-003.mid").unlink()
    result = prepare([library], PROFILE, folder, jobs=1)
    assert (result.prepared, result.duplicates, result.removed) == (40, 0, 0)


def test_a_data_set_that_loses_most_files_loses_their_tokens_too(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    size = sum(entry.tokens for entry in read_manifest(folder).shards)
    for path in sorted(library.rglob("tune-*.mid"))[5:]:
        path.unlink()
    for number in range(2):  # the shards of the run before are kept once, for readers that still use them
        write_file(library / "new.mid", tune(300 + number))
        prepare([library], PROFILE, folder, jobs=1)
    left = sum(entry.tokens for entry in read_manifest(folder).shards)
    assert left < size / 2
    on_disk = {path.stem for path in (folder / "shards").glob("*.safetensors")}
    assert {entry.name for entry in read_manifest(folder).shards} <= on_disk
    assert all_pieces(folder)["train"]


def test_many_small_shards_become_few(tmp_path, monkeypatch):
    monkeypatch.setattr("aurl.data.plan.MANY_SMALL", 8)
    library, folder, profile = tmp_path / "midi", tmp_path / "dataset", make_profile("prepare.shard_tokens=4000000")
    most = 0
    for number in range(11):
        write_tunes(library, 1, first=number)
        result = prepare([library], profile, folder, jobs=1)
        assert (result.new, result.prepared) == (1, number + 1)
        most = max(most, len(read_manifest(folder).shards))
    assert most == 9
    assert len(read_manifest(folder).shards) <= 3
    prepare([library], profile, tmp_path / "whole", jobs=1)
    assert all_pieces(folder) == all_pieces(tmp_path / "whole")


TRIPLETS = 'prepare.preprocess=[{kind="quantize", grid="1/8t"}]'


@pytest.mark.parametrize("change", ["tokens.time_base=seconds", "tokens.parts=false", "prepare.min_notes=20", TRIPLETS])
def test_another_recipe_does_the_work_again(library, folder, change, tmp_path):
    prepare([library], PROFILE, folder, jobs=1)
    result = prepare([library], make_profile(change), folder, jobs=1)
    assert result.new == 43
    prepare([library], make_profile(change), tmp_path / "afresh", jobs=1)
    assert all_pieces(folder) == all_pieces(tmp_path / "afresh")


def test_another_split_moves_pieces_without_encoding(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    result = prepare([library], make_profile('prepare.split={kind="glob", valid=["*/part-1/*"]}'), folder, jobs=1)
    assert result.new == 0
    assert result.splits["valid"].pieces == 13
    assert all("part-1" in record.source for record in open_dataset(folder).records("valid"))


def test_a_file_moved_into_another_split_of_globs(library, folder):
    profile = make_profile('prepare.split={kind="glob", valid=["*/part-1/*"]}')
    prepare([library], profile, folder, jobs=1)
    (library / "part-0" / "tune-000.mid").rename(library / "part-1" / "tune-000.mid")
    result = prepare([library], profile, folder, jobs=1)
    assert result.splits["valid"].pieces == 14
    (folder / "index.sqlite").unlink()
    assert open_dataset(folder).splits["valid"].pieces == 14


def test_files_too_large_are_refused_unread(library, folder):
    write_file(library / "large.mid", tune(1, notes=1000))
    result = prepare([library], make_profile("prepare.max_file_mb=0.005"), folder, jobs=1)
    assert result.rejects["too_large"].examples == (str(library / "large.mid"),)
    again = prepare([library], make_profile("prepare.max_file_mb=1"), folder, jobs=1)
    assert "too_large" not in again.rejects
    assert again.new == 1


def test_unreadable_files_are_tried_again(library, folder):
    (library / "link.mid").symlink_to(library / "later.mid")
    assert prepare([library], PROFILE, folder, jobs=1).rejects["unreadable"].files == 1
    write_file(library / "later.mid", tune(77))
    result = prepare([library], PROFILE, folder, jobs=1)
    assert (result.prepared, result.duplicates, result.rejected) == (41, 2, 3)


def test_files_that_vanish_between_looking_and_reading(library, folder, tmp_path, caplog):
    prepare([library], PROFILE, folder, jobs=1)
    new = write_file(library / "new.mid", tune(77))
    result = prepare(
        [library], PROFILE, folder, jobs=1, cache=tmp_path / "cache", report=lambda _: new.unlink(missing_ok=True)
    )
    assert result.rejects["unreadable"].examples == (str(new),)
    assert not caplog.records
    assert prepare([library], PROFILE, folder, jobs=1).files == 44


def test_files_changed_just_now_are_looked_at_again(library, folder):
    """Their time proves nothing: a second change may fall into the same tick of the clock."""
    path = library / "part-0" / "tune-000.mid"
    path.write_bytes(tune(500))
    prepare([library], PROFILE, folder, jobs=1)
    status = path.stat()
    changed = bytearray(tune(500))
    changed[-20] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert prepare([library], PROFILE, folder, jobs=1).new == 1


def test_dry_run_writes_nothing_and_tells_what_would_be_done(library, folder):
    result = prepare([library], PROFILE, folder, dry_run=True)
    assert (result.files, result.new, result.dry_run) == (44, 44, True)
    assert not folder.exists()
    prepare([library], PROFILE, folder, jobs=1)
    write_tunes(library, 2, first=100)
    (library / "part-2" / "tune-002.mid").unlink()
    before = contents(folder)
    result = prepare([library], PROFILE, folder, dry_run=True)
    assert (result.files, result.new, result.reused, result.removed) == (45, 2, 43, 1)
    assert contents(folder) == before


def test_interrupted_runs_leave_the_data_set_and_keep_their_work(library, folder, tmp_path):
    prepare([library], PROFILE, folder, jobs=1)
    before = contents(folder)
    write_tunes(library, 40, first=100)
    interrupts = Interrupts()

    def stop_soon(progress):
        if progress.task == "prepare":
            interrupts.stop = 2

    result = prepare([library], PROFILE, folder, jobs=1, report=stop_soon, interrupts=interrupts)
    assert result.interrupted
    assert 0 < result.new < 40
    assert {path: contents(folder)[path] for path in before} == before
    finished = prepare([library], PROFILE, folder, jobs=1)
    assert finished.new <= 40 - result.new
    assert finished.prepared == 80


def test_progress_counts_all_files(library, folder):
    seen = []
    prepare([library], PROFILE, folder, jobs=2, report=seen.append)
    done = [progress for progress in seen if progress.task == "prepare"]
    assert [progress.done for progress in done] == sorted(progress.done for progress in done)
    assert (done[-1].done, done[-1].total, done[-1].unit) == (43, 43, "files")


def test_two_at_once_on_one_data_set(library, folder):
    folder.mkdir()
    with lock(folder / ".lock"), pytest.raises(LockedError):
        prepare([library], PROFILE, folder, jobs=1)


def test_nothing_to_prepare_leaves_nothing_behind(tmp_path):
    with pytest.raises(NotFoundError):
        prepare([tmp_path / "nothing"], PROFILE, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_a_disk_that_cannot_be_written_to(library, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aurl.data.commit.write_manifest", full)
    with pytest.raises(AurlError, match="No space left"):
        prepare([library], PROFILE, folder, jobs=1)
    monkeypatch.undo()
    assert prepare([library], PROFILE, folder, jobs=1).new == 0


def test_recipes_depend_on_what_they_must():
    same = recipe_of(make_profile("prepare.timeout_seconds=7", "prepare.shard_tokens=9999", "data.seq_len=77"))
    assert same.signature == recipe_of(PROFILE).signature
    assert recipe_of(make_profile("tokens.header=[]")).signature != recipe_of(PROFILE).signature
