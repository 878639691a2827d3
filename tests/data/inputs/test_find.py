import logging
import os
from pathlib import Path

import pytest
from tests.support.archives import zip_of
from tests.support.midi_files import tune, write_file

from aurl.data import inputs
from aurl.data.inputs import UNKNOWN, Refused, Source, listing_digest
from aurl.data.splits import SPLITS
from aurl.errors import NotFoundError
from aurl.midi.reasons import RejectReason


@pytest.fixture
def find(tmp_path_factory):
    spool = tmp_path_factory.mktemp("spool")
    return lambda paths: inputs.find(paths, spool=spool, max_bytes=10**6).sources


@pytest.fixture
def library(tmp_path):
    for name in ("a.mid", "b.MIDI", "deep/er/c.kar", "deep/d.rmi", "e.smf", "notes.txt", "deep/f.mid.bak"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, tune(1))
    return tmp_path


def names(sources, folder):
    return [os.path.relpath(source.path, folder) for source in sources]


def test_folders_give_all_that_is_in_them_in_order(find, library):
    assert names(find([library]), library) == ["a.mid", "b.MIDI", "deep/d.rmi", "deep/er/c.kar", "e.smf"]


def test_files_that_are_named_are_taken_whatever_their_suffix(find, library):
    assert names(find([library / "notes.txt", library / "a.mid"]), library) == ["a.mid", "notes.txt"]


def test_globs_reach_over_folders(find, library):
    assert names(find([f"{library}/**/*.kar", f"{library}/?.mid"]), library) == ["a.mid", "deep/er/c.kar"]


def test_overlapping_arguments_give_each_file_once(find, library):
    assert len(find([library, library / "deep", library / "a.mid", f"{library}/*.mid"])) == 5


def test_a_file_whose_name_looks_like_a_glob(find, library):
    write_file(library / "x[1].mid", tune(1))
    assert names(find([library / "x[1].mid"]), library) == ["x[1].mid"]


def test_sizes_and_times_are_the_files_own(find, library):
    source = find([library / "a.mid"])[0]
    assert source.size == len(tune(1))
    assert source.mtime_ns == 1_600_000_000 * 10**9


def test_links_to_folders_are_followed_once(find, library, tmp_path):
    (library / "deep" / "loop").symlink_to(library, target_is_directory=True)
    (library / "deep" / "other").symlink_to(library / "deep" / "er", target_is_directory=True)
    found = names(find([library]), library)
    assert "deep/other/c.kar" in found
    assert not any("loop" in name for name in found)


@pytest.mark.parametrize("target", ["nowhere.mid", "gone.mid"])
def test_a_broken_link_is_found_but_unknown(find, library, target):
    (library / "gone.mid").symlink_to(library / target)
    (library / "folder").symlink_to(library / "folder")
    source = next(source for source in find([library]) if source.path.endswith("gone.mid"))
    assert (source.size, source.mtime_ns) == (UNKNOWN, UNKNOWN)


def test_names_that_are_no_text(find, tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe.mid")
    path.write_bytes(tune(1))
    source = find([tmp_path])[0]
    assert os.fsencode(source.path) == bytes(path)
    assert len(listing_digest([source])) == 64


@pytest.mark.parametrize("missing", ["nothing.mid", "nowhere", "*.xyz"])
def test_what_does_not_exist_is_an_error(find, library, missing):
    with pytest.raises(NotFoundError, match="does not exist"):
        find([library / "a.mid", library / missing])


def test_a_part_of_an_archive_is_not_found_alone(find, library):
    with pytest.raises(NotFoundError) as caught:
        find([library / "pack.zip!" / "a.mid"])
    assert caught.value.hint == "give the archive or the book itself"


def test_folders_without_midi_are_an_error(find, tmp_path):
    with pytest.raises(NotFoundError, match="no music in"):
        find([tmp_path])


def test_the_digest_sees_every_change(find, library):
    before = listing_digest(find([library]))
    assert listing_digest(find([library])) == before
    os.utime(library / "a.mid", (1_600_000_001, 1_600_000_001))
    changed = listing_digest(find([library]))
    (library / "a.mid").rename(library / "a2.mid")
    moved = listing_digest(find([library]))
    (library / "a2.mid").unlink()
    assert len({before, changed, moved, listing_digest(find([library]))}) == 4


def test_suffixes_of_music_alone_and_packed(find, tmp_path):
    wanted = ["a.musicxml", "b.xml", "c.mxl", "d.abc", "e.krn", "f.mid.gz", "g.MXL.GZ", "h.krn.gz"]
    for name in [*wanted, "x.gz", "x.mid.zip.txt", "x.mid.xz", "x.rar", "._a.mid"]:
        write_file(tmp_path / name, b"X:1\n")
    assert names(find([tmp_path]), tmp_path) == wanted


def test_shadows_of_macos_are_left_out_but_told(find, library, caplog):
    write_file(library / "._a.mid", b"x")
    with caplog.at_level(logging.DEBUG, "aurl"):
        assert len(find([library])) == 5
    assert [record.levelname for record in caplog.records if "._a.mid" in record.message] == ["DEBUG"]


def test_archives_in_folders_by_name_and_by_glob(find, library, tmp_path):
    write_file(library / "deep" / "x.zip", zip_of({"g.mid": tune(1), "h.txt": b""}))
    member = "deep/x.zip!/g.mid"
    assert member in names(find([library]), library)
    assert names(find([library / "deep/x.zip", library / "a.mid"]), library) == ["a.mid", member]
    assert names(find([f"{library}/**/*.zip"]), library) == [member]


def test_splits_see_logical_paths(find, library):
    write_file(library / "x.zip", zip_of({"held-out/g.mid": tune(1), "h.mid": tune(2)}))
    split = SPLITS.from_component({"kind": "glob", "valid": ["*x.zip!/held-out/*"]})
    found = {source.path[-5:]: split("00", source.path) for source in find([library / "x.zip"])}
    assert found == {"g.mid": "valid", "h.mid": "train"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_refused_unopened(library, tmp_path_factory):
    os.mkfifo(library / "pipe.mid")
    found = inputs.find([library], spool=tmp_path_factory.mktemp("spool"), max_bytes=10**6)
    assert [(Path(path).name, reason) for path, reason, _ in found.refused] == [("pipe.mid", "not_a_file")]
    assert len(found.sources) == 5


def test_archives_that_cannot_be_opened_are_refused(library, tmp_path_factory):
    (library / "gone.zip").symlink_to(library / "nowhere.zip")
    (library / "gone.abc").symlink_to(library / "nowhere.abc")
    found = inputs.find([library], spool=tmp_path_factory.mktemp("spool"), max_bytes=10**6)
    assert [(Path(path).name, reason) for path, reason, _ in found.refused] == [
        ("gone.abc", "unreadable"),
        ("gone.zip", "unreadable"),
    ]


def test_the_digest_sees_refusals():
    sources, refused = [Source("a", 1, 2)], [Refused("b", RejectReason.ENCRYPTED, "locked")]
    assert len({listing_digest(sources), listing_digest(sources, refused), listing_digest([])}) == 3


def test_a_folder_that_cannot_be_listed_is_left_out_but_told(find, library, monkeypatch, caplog):
    """Whoever runs the tests may be allowed everything."""
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("er"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with caplog.at_level(logging.WARNING):
        assert names(find([library]), library) == ["a.mid", "b.MIDI", "deep/d.rmi", "e.smf"]
    assert str(library / "deep" / "er") in caplog.text
