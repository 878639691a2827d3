import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib

import pytest
from tests.support.archives import OLD, add, tar_of, write_old, zip_of
from tests.support.midi_files import tune

from aurl.data.inputs import Source, packed_tars, read_source
from aurl.data.inputs.archives import list_archive, open_archive
from aurl.data.inputs.spool import Spool
from aurl.midi.reasons import Rejected, RejectReason

LONG = "/".join(["a folder with a long name"] * 12) + "/piece.mid"
TUNES = {
    "a.mid": tune(1),
    "deep/er/b.KAR": tune(2),
    "c.smf": b"",
    "d.mid": bytes(512),
    "ü/ñ.midi": tune(3),
    LONG: tune(4),
}
OTHERS = {"readme.txt": b"hello" * 500, "__MACOSX/a.mid": b"x", "deep/._b.kar": b"x", "a.mid.bak": tune(1)}
KINDS = {"hard": b"1", "soft": b"2", "tty": b"3", "disk": b"4", "pipe": b"6", "odd": b"Z"}
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
PACKINGS = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def reference(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}


def built(build):
    """A tar of which `build` adds the members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        build(archive)
    return out.getvalue()


def rechecked(data, at=0):
    """The tar with the checksum of its header at `at` set right."""
    data = bytearray(data)
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("suffix", PACKINGS)
def test_members_are_what_tarfile_reads(tmp_path, contents, suffix, format):  # noqa: A002 - tarfile's word
    tunes = {name: data for name, data in TUNES.items() if name != LONG or format != tarfile.USTAR_FORMAT}
    data = tar_of(OTHERS | tunes | OTHERS, format=format)
    found = contents(write_old(tmp_path / f"x{suffix}", PACKINGS[suffix](data)))
    assert found == {name: reference(data)[name] for name in tunes}


@pytest.mark.parametrize("suffix", [".tar", ".TXZ"])
def test_sources_tell_the_members_size_and_the_archives_time(tmp_path, listed, suffix):
    path = write_old(tmp_path / f"x{suffix}", PACKINGS[suffix.lower().replace(".txz", ".tar.xz")](tar_of(TUNES)))
    expected = sorted(Source(f"{path}!/{name}", len(data), OLD * 10**9) for name, data in TUNES.items())
    assert listed(tmp_path).sources == expected


def test_the_bytes_and_not_the_suffix_tell_the_compression(tmp_path, contents):
    write_old(tmp_path / "x.tar", gzip.compress(tar_of({"a.mid": tune(1)})))
    write_old(tmp_path / "y.tar.gz", tar_of({"b.mid": tune(2)}))
    assert contents(tmp_path) == {"a.mid": tune(1), "b.mid": tune(2)}


def test_names_as_other_programs_write_them(tmp_path, contents):
    prefixed = tar_of({"p" * 120 + "/a.mid": tune(1)}, format=tarfile.USTAR_FORMAT)
    assert prefixed[345:348] == b"ppp"
    dotted = tar_of({"./b.mid": tune(2), "../c.mid": tune(3), "/etc/d.mid": tune(4)})
    garbled = tar_of({os.fsdecode(b"\xff\xfe.mid"): tune(5)})
    for index, data in enumerate((prefixed, dotted, garbled)):
        write_old(tmp_path / f"{index}.tar", data)
    assert contents(tmp_path) == {
        "p" * 120 + "/a.mid": tune(1),
        "b.mid": tune(2),
        "../c.mid": tune(3),
        "/etc/d.mid": tune(4),
        os.fsdecode(b"\xff\xfe.mid"): tune(5),
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_is_no_file_is_passed_over(tmp_path, contents, refusals, suffix):
    def build(archive):
        for name, kind in (
            ("hard", b"1"),
            ("soft", b"2"),
            ("tty", b"3"),
            ("disk", b"4"),
            ("pipe", b"6"),
            ("odd", b"Z"),
        ):
            add(archive, f"{name}.mid", kind=kind, link="/etc/passwd")
            add(archive, f"{name}.txt", kind=kind, link="/etc/passwd")
        add(archive, "folder.mid", kind=tarfile.DIRTYPE)
        add(archive, "inner.zip", zip_of(TUNES))
        add(archive, "inner.tar.gz", b"x" * 2000)
        add(archive, "sparse.mid", tune(3), kind=tarfile.GNUTYPE_SPARSE)
        add(archive, "contiguous.mid", tune(2), kind=tarfile.CONTTYPE)
        add(archive, "last.mid", tune(1))

    path = write_old(tmp_path / f"x{suffix}", PACKINGS[suffix](built(build)))
    for _ in range(2):  # the second time from the copy in the spool
        assert contents(path) == {"last.mid": tune(1), "contiguous.mid": tune(2)}
        assert refusals(path) == {
            **{f"{name}.mid": RejectReason.NOT_A_FILE for name in KINDS},
            "inner.zip": RejectReason.NESTED_ARCHIVE,
            "inner.tar.gz": RejectReason.NESTED_ARCHIVE,
            "sparse.mid": RejectReason.UNSUPPORTED_ARCHIVE,
        }


def test_sparse_files_of_both_kinds(tmp_path, contents, refusals):
    sparse = bytearray(tar_of({"old.mid": bytes(512), "good.mid": tune(1)}))
    sparse[156:157], sparse[482] = b"S", 1
    more = bytearray(512)
    sparse[512:512] = more
    write_old(tmp_path / "old.tar", rechecked(bytes(sparse)))

    def build(archive):
        info = tarfile.TarInfo("GNUSparseFile.0/new.mid")
        info.size, info.pax_headers = 100, {"GNU.sparse.major": "1", "GNU.sparse.name": "new.mid"}
        archive.addfile(info, io.BytesIO(bytes(100)))
        add(archive, "fine.mid", tune(2))

    write_old(tmp_path / "new.tar", built(build))
    assert contents(tmp_path) == {"good.mid": tune(1), "fine.mid": tune(2)}
    assert refusals(tmp_path) == {
        "old.mid": RejectReason.UNSUPPORTED_ARCHIVE,
        "new.mid": RejectReason.UNSUPPORTED_ARCHIVE,
    }


def test_the_last_of_two_members_of_one_name_wins(tmp_path, contents):
    def build(archive):
        add(archive, "a.mid", tune(1))
        add(archive, "a.mid", tune(2))

    assert contents(write_old(tmp_path / "x.tar", built(build))) == {"a.mid": tune(2)}


def test_old_headers_without_magic_and_with_signed_checksums(tmp_path, contents):
    data = bytearray(tar_of({"é.mid": tune(1)}))
    data[257:265] = bytes(8)
    data[156:157] = b"\0"
    data = bytearray(rechecked(bytes(data)))
    signed = sum(byte - 256 * (byte > 127) for byte in data[:148] + b" " * 8 + data[156:512])
    data[148:156] = b"%06o\0 " % signed
    assert contents(write_old(tmp_path / "x.tar", bytes(data))) == {"é.mid": tune(1)} == reference(bytes(data))


def test_sizes_in_binary_and_in_pax(tmp_path, contents):
    binary = bytearray(tar_of({"a.mid": tune(1)}))
    binary[124:136] = b"\x80" + len(tune(1)).to_bytes(11, "big")
    write_old(tmp_path / "a.tar", rechecked(bytes(binary)))

    def build(archive):
        info = tarfile.TarInfo("b.mid")
        info.size, info.pax_headers = len(tune(2)), {"size": str(len(tune(2))), "comment": "ä" * 300}
        archive.addfile(info, io.BytesIO(tune(2)))

    write_old(tmp_path / "b.tar", built(build))
    assert contents(tmp_path) == {"a.mid": tune(1), "b.mid": tune(2)}


def test_a_global_header_is_passed_over(tmp_path, contents):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}) as archive:
        add(archive, "a.mid", tune(1))
    assert contents(write_old(tmp_path / "x.tar", out.getvalue())) == {"a.mid": tune(1)}


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("cut", [1600, 1100, 600, 30])
def test_a_cut_archive_gives_what_is_whole_and_one_refusal(tmp_path, contents, refusals, suffix, cut):
    # a.mid: blocks 0 to 2, b.mid: header at 1536, its data to 3072
    data = tar_of({"a.mid": b"a" * 1000, "b.mid": b"b" * 1000})[:3072]
    path = write_old(tmp_path / f"x{suffix}", PACKINGS[suffix](data[:-cut]))
    for _ in range(2):
        assert contents(path) == ({"a.mid": b"a" * 1000} if cut < 1536 else {})
        assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_cut_compression_gives_what_is_whole_and_one_refusal(tmp_path, contents, refusals, suffix):
    data = PACKINGS[suffix](tar_of({"a.mid": os.urandom(2 * 10**5), "b.mid": os.urandom(2 * 10**5)}))
    path = write_old(tmp_path / f"x{suffix}", data[: len(data) * 4 // 5])
    assert contents(path).keys() <= {"a.mid"}
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_a_member_that_lacks_only_its_padding_is_whole(tmp_path, contents, refusals):
    path = write_old(tmp_path / "x.tar", tar_of({"a.mid": b"a" * 1000})[:1520])
    assert contents(path) == {"a.mid": b"a" * 1000}
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_an_archive_without_an_end_mark_is_whole(tmp_path, contents, refusals):
    path = write_old(tmp_path / "x.tar", tar_of({"a.mid": bytes(1000)})[:1536])
    assert contents(path) == {"a.mid": bytes(1000)}
    assert not refusals(path)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (124, b"\xff" * 12),  # a negative size
        (124, b"77777777777\0"),  # beyond the end
        (124, b"\x80" + b"\xff" * 11),
        (124, b"12x45678901\0"),
        (124, b"99999999999\0"),
        (156, b"L"),  # a name of 200,000 bytes
        (156, b"x"),  # pax records that are none
    ],
)
def test_headers_that_lie(tmp_path, contents, refusals, at, value):
    data = bytearray(tar_of({"a.mid": tune(1), "b.mid": b"1" * 200_000, "c.mid": tune(3)}))
    start = 512 + -(-len(tune(1)) // 512) * 512
    data[start + at : start + at + len(value)] = value
    path = write_old(tmp_path / "x.tar", rechecked(bytes(data), start))
    assert contents(path) == {"a.mid": tune(1)}
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_a_folder_without_a_slash_at_its_end_is_no_piece(tmp_path, contents, refusals):
    data = bytearray(tar_of({"folder.mid": b"", "a.mid": tune(1)}))
    data[156:157] = b"5"
    path = write_old(tmp_path / "x.tar", rechecked(bytes(data)))
    assert contents(path) == {"a.mid": tune(1)}
    assert refusals(path) == {}


@pytest.mark.parametrize("kind", [b"L", b"x"])
def test_a_long_name_that_the_end_of_the_file_cuts_off(tmp_path, contents, refusals, kind):
    data = bytearray(tar_of({"a.mid": tune(1), "name": b"1" * 3000}))
    start = 512 + -(-len(tune(1)) // 512) * 512
    data[start + 156 : start + 157] = kind
    path = write_old(tmp_path / "x.tar", rechecked(bytes(data), start)[: start + 1000])
    assert contents(path) == {"a.mid": tune(1)}
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_the_map_of_a_sparse_file_that_is_cut_off(tmp_path, contents, refusals):
    data = bytearray(tar_of({"a.mid": tune(1), "sparse.mid": bytes(5000)}))
    start = 512 + -(-len(tune(1)) // 512) * 512
    data[start + 156 : start + 157], data[start + 482] = b"S", 1
    path = write_old(tmp_path / "x.tar", rechecked(bytes(data), start)[: start + 700])
    assert contents(path) == {"a.mid": tune(1)}
    assert refusals(path)[""] == RejectReason.DAMAGED_ARCHIVE


@pytest.mark.parametrize("records", [b"3\n", b"x path=a\n", b"99999 path=a\n", b"12 size=abc\n", b"0 path=b\n"])
def test_pax_records_that_lie(tmp_path, refusals, records):
    def build(archive):
        add(archive, "pax", records, kind=tarfile.XHDTYPE)
        add(archive, "a.mid", tune(1))

    assert refusals(write_old(tmp_path / "x.tar", built(build))) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_a_flipped_header_is_noticed(tmp_path, contents, refusals):
    data = bytearray(tar_of({"a.mid": tune(1), "b.mid": tune(2)}))
    data[data.index(b"b.mid")] = ord("c")
    path = write_old(tmp_path / "x.tar", bytes(data))
    assert contents(path) == {"a.mid": tune(1)}
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_is_no_tar(tmp_path, refusals, suffix):
    path = write_old(tmp_path / f"x{suffix}", PACKINGS[suffix](b"not a tar at all" * 100))
    assert refusals(path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_a_bomb(tmp_path, refusals, monkeypatch, spool):
    monkeypatch.setattr(packed_tars, "BOMB_FLOOR_BYTES", 10**6)
    data = gzip.compress(tar_of({"a.txt": bytes(5 * 10**6), "b.mid": tune(1)}))
    assert refusals(write_old(tmp_path / "x.tar.gz", data)) == {"": RejectReason.ARCHIVE_BOMB}
    assert not [path for path in spool.rglob("*") if path.is_file() and path.name not in (".lock", ".trimmed")]


def test_a_long_name_in_a_compressed_tar_takes_no_memory(tmp_path, refusals):
    def build(archive):
        add(archive, "././@LongLink", bytes(50 * 10**6), kind=tarfile.GNUTYPE_LONGNAME)

    assert refusals(write_old(tmp_path / "x.tar.gz", gzip.compress(built(build), 1))) == {
        "": RejectReason.DAMAGED_ARCHIVE
    }


def test_xz_that_asks_for_too_much_memory(tmp_path, refusals):
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**20}])
    data = bytearray(packer.compress(tar_of(TUNES)) + packer.flush())
    data[data.index(b"\x21\x01") + 2] = 40  # the code of a dictionary of 4 GiB
    data[20:24] = zlib.crc32(bytes(data[12:20])).to_bytes(4, "little")
    assert refusals(write_old(tmp_path / "x.tar.xz", bytes(data))) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_pieces_that_the_spool_has_no_room_for(tmp_path):
    path = write_old(tmp_path / "x.tar.gz", gzip.compress(tar_of({"a.mid": tune(1), "b.mid": bytes(10**5)})))
    listing = list_archive(str(path), str(path), Spool(tmp_path / "spool", max_bytes=10**5))
    assert not listing.members
    assert listing.damage.reason is RejectReason.ARCHIVE_TOO_LARGE


def test_a_copy_that_was_cleared_is_made_again(tmp_path, spool, listed):
    source = listed(write_old(tmp_path / "x.tar.xz", lzma.compress(tar_of(TUNES)))).sources[0]
    expected = read_source(source.path, 10**6, spool=spool)
    for path in spool.rglob("*"):
        if path.is_file():
            path.unlink()
    assert read_source(source.path, 10**6, spool=spool) == expected


def test_an_archive_that_was_changed_is_listed_again(tmp_path, spool, listed):
    path = write_old(tmp_path / "x.tar", tar_of({"a.mid": tune(1)}))
    source = listed(path).sources[0]
    assert read_source(source.path, 10**6, spool=spool) == tune(1)
    path.write_bytes(tar_of({"0.mid": tune(0), "a.mid": tune(2)}))
    assert read_source(source.path, 10**6, spool=spool) == tune(2)


def test_a_tar_that_was_cut_after_it_was_listed(tmp_path, spool, listed):
    path = write_old(tmp_path / "x.tar", tar_of({"a.mid": tune(1), "b.mid": tune(2)}))
    archive = open_archive(str(path), str(path), Spool(spool))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(Rejected, match="too early"):
        archive.read("b.mid", 10**6)
    assert listed(path).refused[0].reason is RejectReason.DAMAGED_ARCHIVE
