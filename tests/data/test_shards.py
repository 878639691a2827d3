import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from aurl.data.fingerprint import FINGERPRINT_SIZE
from aurl.data.records import Record
from aurl.data.shards import Piece, Shard, note_histograms, write_shard
from aurl.errors import DamagedError
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, TIME_SHIFT, VELOCITY


def piece(*body):
    return np.array([BOS, *body, EOS], np.uint16)


def record(number, **facts):
    return Record(source=f"/music/{number}.mid", sha256=f"{number:064x}", file_bytes=number, **facts)


IDS = [
    piece(VELOCITY.start + 2, 60, TIME_SHIFT.start + 31, NOTE_OFF.start + 60),
    piece(VELOCITY.start, 60, 64, VELOCITY.start + 5, 60),
]
RECORDS = [record(1, notes=1, tokens=6, header=1), record(2, notes=3, tokens=7, repairs={"cut": 2})]
PRINTS = np.arange(2 * FINGERPRINT_SIZE, dtype=np.uint32).reshape(2, -1)
PIECES = list(map(Piece, IDS, RECORDS, PRINTS))
REJECTED = [record(3, reason="no_notes", fault="no notes"), record(4, reason="crash", fault='"\udcff"\n')]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "shard.safetensors"
    write_shard(path, PIECES, REJECTED, "made so")
    return path


def test_everything_comes_back(path):
    shard = Shard(path)
    assert len(shard) == 2
    assert shard.signature == "made so"
    assert shard.fingerprints.tolist() == PRINTS.tolist()
    for row, (ids, kept, _) in enumerate(PIECES):
        assert shard.piece(row).tolist() == ids.tolist()
        assert shard.record(row) == kept
    assert list(shard.records()) == [kept for _, kept, _ in PIECES] + REJECTED
    assert shard.bytes == path.stat().st_size


def test_the_safetensors_library_reads_it(path):
    tensors = load_file(path)
    assert tensors["ids"].dtype == np.uint16
    assert tensors["ids"].tolist() == np.concatenate(IDS).tolist()
    assert tensors["offsets"].tolist() == [0, 6, 13]
    lines = tensors["records"].tobytes().splitlines()
    assert [json.loads(line)["source"] for line in lines] == [f"/music/{number}.mid" for number in (1, 2, 3, 4)]


def test_the_same_content_is_the_same_bytes(path, tmp_path):
    sha256 = write_shard(tmp_path / "again.safetensors", PIECES, REJECTED, "made so")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert len(sha256) == 64


def test_a_shard_may_hold_no_piece(tmp_path):
    write_shard(tmp_path / "s.safetensors", [], REJECTED, "x")
    shard = Shard(tmp_path / "s.safetensors")
    assert len(shard) == 0
    assert shard.record(0) == REJECTED[0]


def test_histograms_count_notes_by_pitch_and_running_velocity(path):
    shard = Shard(path)
    assert {pitch: count for pitch, count in enumerate(shard.pitches) if count} == {60: 3, 64: 1}
    assert shard.velocities.tolist() == [2, 0, 1, 0, 0, 1]


def test_histograms_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 779, 5000).astype(np.uint16)
    pitches, velocities, level = [0] * 128, [0] * 6, 3
    for token in ids.tolist():
        if VELOCITY.start <= token < VELOCITY.stop:
            level = token - VELOCITY.start
        elif token < 128:
            pitches[token] += 1
            velocities[level] += 1
    found = note_histograms(ids)
    assert found[0].tolist() == pitches
    assert found[1].tolist() == velocities


def test_pieces_cannot_be_written_to(path):
    with pytest.raises(ValueError, match="read-only"):
        Shard(path).piece(0)[0] = 1


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 600, -1])
def test_truncated_files_are_damaged(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedError, match=str(path)):
        Shard(path)


def test_no_flipped_bit_in_the_header_is_fatal(path):
    """Every seventh bit of length and header: either the shard is refused, or it still reads within its bounds."""
    whole = path.read_bytes()
    size = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for bit in range(0, 8 * size, 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            shard = Shard(path)
            assert sum(len(shard.piece(row)) for row in range(len(shard))) <= len(whole)
            list(shard.records())
        except DamagedError:
            refused += 1
    assert refused > size // 2


def test_every_flipped_bit_of_the_tensors_is_found_on_request(path):
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    Shard(path).verify()
    for bit in range(8 * start, 8 * len(whole), 97):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            Shard(path).verify()


@pytest.mark.parametrize("name", ["pitches", "velocities", "fingerprints", "offsets", "record_offsets", "ids"])
def test_tensors_of_another_length_are_refused(path, name):
    """Also where the header says so and everything lies within the file."""
    whole = path.read_bytes()
    size = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:size])
    width = {"ids": 2, "fingerprints": 4}.get(name, 8)
    header[name]["shape"][0] -= 1
    header[name]["data_offsets"][1] -= width
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[size:])
    with pytest.raises(DamagedError):
        Shard(path)


def test_a_header_that_promises_gigabytes_is_refused(path):
    whole = path.read_bytes()
    path.write_bytes((2**60).to_bytes(8, "little") + whole[8:])
    with pytest.raises(DamagedError, match="header"):
        Shard(path)


def test_a_missing_shard_is_damage(tmp_path):
    with pytest.raises(DamagedError, match="gone"):
        Shard(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("line", [b"", b"[]", b"3", b"{}", b'{"source": 1, "what": 2}', b"\xff", b"{" * 10_000])
def test_lines_that_are_no_record_are_damage(line):
    with pytest.raises(DamagedError):
        Record.from_line(line)
