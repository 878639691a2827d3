import io
import random
import struct
import zipfile

import pytest
from tests.support.archives import OLD, Entry, raw_zip, write_old, zip_of
from tests.support.midi_files import tune

from aurl.data.inputs import Source, members, read_source, zips
from aurl.errors import NotFoundError
from aurl.midi.reasons import Rejected, RejectReason

TUNES = {"a.mid": tune(1), "deep/er/b.KAR": tune(2), "c.smf": b"", "ü/ñ.midi": tune(3)}
OTHERS = {"readme.txt": b"hello", "deep/": b"", "__MACOSX/._a.mid": b"x", "deep/._b.kar": b"x", "a.mid.bak": tune(1)}


def reference(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_are_what_zipfile_reads(tmp_path, contents, method):
    data = zip_of(TUNES | OTHERS, method)
    assert contents(write_old(tmp_path / "x.zip", data)) == {name: reference(data)[name] for name in TUNES}


def test_sources_tell_the_members_size_and_the_archives_time(tmp_path, listed):
    path = write_old(tmp_path / "x.ZIP", zip_of(TUNES))
    expected = sorted(Source(f"{path}!/{name}", len(data), OLD * 10**9) for name, data in TUNES.items())
    assert listed(tmp_path).sources == expected


def test_what_stands_before_the_archive_shifts_it(tmp_path, contents):
    path = write_old(tmp_path / "x.zip", b"#!/bin/sh\nexit\n" + zip_of(TUNES))
    assert contents(path) == TUNES


def test_names_that_want_out_are_only_names(tmp_path, contents, listed):
    names = [b"../../etc/a.mid", b"/etc/b.mid", b"C:\\c.mid", b"..\\d.mid", b"\x1b[2Je.mid", b"./f.mid"]
    path = write_old(tmp_path / "in" / "x.zip", raw_zip(Entry(name, tune(i)) for i, name in enumerate(names)))
    before = sorted(tmp_path.rglob("*"))
    found = contents(path)
    assert [found[name.decode("cp437")] for name in names] == [tune(i) for i in range(len(names))]
    assert sorted(tmp_path.rglob("*")) == before
    assert all(source.path.startswith(f"{path}!/") for source in listed(path).sources)


def test_names_that_are_no_text(tmp_path, contents):
    entries = [Entry(b"\xff\xfe.mid", tune(1), flags=0x800), Entry(b"cut\0off.mid", tune(2)), Entry(b"a\0.mid", b"")]
    found = contents(write_old(tmp_path / "x.zip", raw_zip([*entries, Entry(b"b.mid\0.txt", tune(3))])))
    assert found == {"\udcff\udcfe.mid": tune(1), "b.mid": tune(3)}


def test_the_last_of_two_members_of_one_name_wins(tmp_path, contents):
    data = raw_zip([Entry(b"a.mid", tune(1)), Entry(b"a.mid", tune(2))])
    assert contents(write_old(tmp_path / "x.zip", data)) == {"a.mid": tune(2)} == reference(data)


def test_members_that_cannot_be_read_cost_only_themselves(tmp_path, contents, refusals):
    entries = [
        Entry(b"good.mid", tune(1)),
        Entry(b"locked.mid", tune(2), flags=1),
        Entry(b"aes.mid", tune(2), method=99),
        Entry(b"deflate64.mid", tune(3), method=9),
        Entry(b"link.mid", b"/etc/passwd", mode=0o120777),
        Entry(b"device.mid", b"", mode=0o020666),
        Entry(b"inner.zip", zip_of(TUNES)),
        Entry(b"inner.tar.gz", b""),
        Entry(b"locked.txt", b"", flags=1),
        Entry(b"file.mid", tune(4), mode=0o100644),
    ]
    path = write_old(tmp_path / "x.zip", raw_zip(entries))
    assert contents(path) == {"good.mid": tune(1), "file.mid": tune(4)}
    assert refusals(path) == {
        "locked.mid": RejectReason.ENCRYPTED,
        "aes.mid": RejectReason.ENCRYPTED,
        "deflate64.mid": RejectReason.UNSUPPORTED_ARCHIVE,
        "link.mid": RejectReason.NOT_A_FILE,
        "device.mid": RejectReason.NOT_A_FILE,
        "inner.zip": RejectReason.NESTED_ARCHIVE,
        "inner.tar.gz": RejectReason.NESTED_ARCHIVE,
    }


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (Entry(b"a.mid", bytes(5_000_000), method=8, size=100), "larger"),
        (Entry(b"a.mid", bytes(200), method=8, size=5000), "smaller"),
        (Entry(b"a.mid", bytes(200), size=5000), "smaller"),
        (Entry(b"a.mid", bytes(5000), size=200), "larger"),
        (Entry(b"a.mid", tune(1), method=8, crc=1), "checksum"),
        (Entry(b"a.mid", tune(1), crc=1), "checksum"),
        (Entry(b"a.mid", tune(1), offset=7), "not where"),
        (Entry(b"a.mid", tune(1), offset=2**31), "not where"),
    ],
)
def test_entries_that_lie_are_caught_when_they_are_read(tmp_path, spool, listed, entry, fault):
    path = write_old(tmp_path / "x.zip", raw_zip([entry, Entry(b"b.mid", tune(2))]))
    lying, good = listed(path).sources
    with pytest.raises(Rejected, match=fault) as caught:
        read_source(lying.path, 10**7, spool=spool)
    assert caught.value.reason is RejectReason.DAMAGED_ARCHIVE
    assert caught.value.name == lying.path
    assert read_source(good.path, 10**7, spool=spool) == tune(2)


def test_deflated_bytes_that_are_none(tmp_path, spool, listed):
    data = bytearray(raw_zip([Entry(b"a.mid", tune(1) * 9, method=8)]))
    data[40:60] = b"\xff" * 20
    source = listed(write_old(tmp_path / "x.zip", bytes(data))).sources[0]
    with pytest.raises(Rejected, match="cannot be unpacked") as caught:
        read_source(source.path, 10**6, spool=spool)
    assert caught.value.reason is RejectReason.DAMAGED_ARCHIVE


def test_no_more_is_unpacked_than_is_asked_for(tmp_path, spool, listed):
    source = listed(write_old(tmp_path / "x.zip", zip_of({"a.mid": bytes(10**7)}))).sources[0]
    assert source.size == 10**7
    assert read_source(source.path, 1000, spool=spool) == bytes(1000)


@pytest.mark.parametrize("cut", [1, 10, 21, 22, 60, 200])
def test_a_cut_archive_is_one_refusal(tmp_path, contents, refusals, cut):
    write_old(tmp_path / "x.zip", zip_of(TUNES)[:-cut])
    write_old(tmp_path / "y.mid", tune(9))
    assert list(contents(tmp_path)) == [str(tmp_path / "y.mid")]
    assert refusals(tmp_path) == {"": RejectReason.DAMAGED_ARCHIVE}


@pytest.mark.parametrize("data", [b"", b"PK", b"Rar!" * 100, b"PK\5\6" + bytes(17), bytes(70_000)])
def test_what_is_no_zip(tmp_path, refusals, data):
    assert refusals(write_old(tmp_path / "x.zip", data)) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_an_archive_without_music(tmp_path, listed):
    with pytest.raises(NotFoundError, match="no music in"):
        listed(write_old(tmp_path / "x.zip", zip_of({})), write_old(tmp_path / "y.zip", zip_of(OTHERS)))


def test_a_directory_that_ends_too_early_gives_what_it_has(tmp_path, contents, refusals):
    data = bytearray(raw_zip([Entry(b"a.mid", tune(1)), Entry(b"b.mid", tune(2))]))
    data[data.rindex(b"PK\1\2")] = 0
    path = write_old(tmp_path / "x.zip", bytes(data))
    assert contents(path) == {"a.mid": tune(1)}
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_one_of_several_volumes(tmp_path, refusals):
    data = bytearray(zip_of(TUNES))
    struct.pack_into("<H", data, len(data) - 18, 3)
    assert refusals(write_old(tmp_path / "x.zip", bytes(data))) == {"": RejectReason.UNSUPPORTED_ARCHIVE}


def test_a_directory_beyond_all_measure(tmp_path, refusals):
    data = bytearray(zip_of(TUNES))
    struct.pack_into("<L", data, len(data) - 10, 2**31)
    assert refusals(write_old(tmp_path / "x.zip", bytes(data))) == {"": RejectReason.ARCHIVE_TOO_LARGE}


def test_a_directory_that_starts_before_the_file(tmp_path, refusals):
    data = bytearray(zip_of(TUNES))
    struct.pack_into("<L", data, len(data) - 10, len(data) + 5)
    assert refusals(write_old(tmp_path / "x.zip", bytes(data))) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_too_many_members(tmp_path, refusals, contents, monkeypatch):
    path = write_old(tmp_path / "x.zip", raw_zip(Entry(b"%d.mid" % i) for i in range(50)))
    assert len(contents(path)) == 50
    monkeypatch.setattr(members, "MAX_MEMBERS", 49)
    assert refusals(path) == {"": RejectReason.ARCHIVE_TOO_LARGE}
    assert not contents(path)


def test_a_bomb_of_many_members_that_share_their_bytes(tmp_path, listed):
    kernel = 250_000_000
    entries = [Entry(b"%d.mid" % i, size=kernel, offset=0) for i in range(100)]
    found = listed(write_old(tmp_path / "x.zip", raw_zip(entries)))
    assert [entry.reason for entry in found.refused] == [RejectReason.ARCHIVE_BOMB]
    assert not found.sources


def test_music_that_packs_well_is_no_bomb(tmp_path, contents, monkeypatch):
    monkeypatch.setattr(zips, "BOMB_FLOOR_BYTES", 1000)
    assert len(contents(write_old(tmp_path / "x.zip", zip_of({"a.mid": tune(1) * 50})))) == 1


def test_more_members_than_sixteen_bits_count(tmp_path, spool, listed):
    names = [f"{index % 100}/{index}.mid" for index in range(65_600)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index, name in enumerate(names):
            archive.writestr(zipfile.ZipInfo(name), b"%d" % index)
    path = write_old(tmp_path / "x.zip", out.getvalue())
    sources = listed(path).sources
    assert {source.path for source in sources} == {f"{path}!/{name}" for name in names}
    for source in random.Random(1).sample(sources, 200):
        assert read_source(source.path, 100, spool=spool) == source.path.rpartition("/")[2][:-4].encode()


def test_sizes_in_64_bits(tmp_path, contents, refusals):
    wide = struct.pack("<HHQQQ", 1, 24, len(tune(1)), len(tune(1)), 0)
    entry = Entry(b"a.mid", tune(1), size=0xFFFFFFFF, offset=0xFFFFFFFF, extra=struct.pack("<HH2s", 7, 2, b"xx") + wide)
    data = bytearray(raw_zip([entry]))
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 20, 0xFFFFFFFF)
    assert contents(write_old(tmp_path / "x.zip", bytes(data))) == {"a.mid": tune(1)} == reference(bytes(data))
    for extra in (b"", struct.pack("<HHQ", 1, 8, 5), struct.pack("<HHQQ", 1, 16, 2**63, 2**64 - 1)):
        path = write_old(tmp_path / "y.zip", raw_zip([entry._replace(extra=extra)]))
        assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}
