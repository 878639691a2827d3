import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.data.assignments import Assignment, clear_assignments, history, read_assignments, write_assignments
from aurl.data.records import Record
from aurl.data.splits import SPLIT_NAMES
from aurl.errors import DamagedError

A, B, C = (f"{number:064x}" for number in range(3))
KNOWN = [
    Assignment(A, "/music/a.mid", "train", "train"),
    Assignment(B, "/music/\udcff\u202e.mid", "train", "valid", leader=A, served=False),
    Assignment(C, "/music/pack.zip!/c.mid", "test", "test", labels={"composer": "Händel", "genre": "a\nb"}),
]

TEXTS = st.text(max_size=20) | st.binary(max_size=20).map(lambda name: name.decode("utf-8", "surrogateescape"))
"""Also names of files that are not UTF-8, and line ends of all kinds."""
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
ASSIGNMENTS = st.builds(
    Assignment,
    sha256=HASHES,
    source=TEXTS,
    split=st.sampled_from(SPLIT_NAMES),
    own=st.sampled_from(SPLIT_NAMES),
    leader=st.just("") | HASHES,
    served=st.booleans(),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
)


@given(ASSIGNMENTS)
def test_any_assignment_is_one_line_and_comes_back(assignment):
    line = assignment.to_line()
    assert line.count(b"\n") == len(line.splitlines()) == 1
    assert Assignment.from_line(line) == assignment


@given(TEXTS, HASHES, st.lists(st.integers(0, 128), max_size=4).map(tuple), st.dictionaries(TEXTS, st.integers(1)))
def test_any_record_is_one_line_and_comes_back(name, sha256, instruments, repairs):
    record = Record(f"/{name}", sha256, 7, fault=name, instruments=instruments, repairs=repairs, seconds=1 / 3)
    line = record.to_line()
    assert len((line + b"\n").splitlines()) == 1
    assert Record.from_line(line) == record


def test_everything_comes_back(tmp_path):
    name = write_assignments(tmp_path, KNOWN)
    assert read_assignments(tmp_path, name) == KNOWN
    assert history(tmp_path, name) == history(tmp_path, None) == {one.sha256: one for one in KNOWN}


def test_a_line_says_no_more_than_it_must():
    line = Assignment(A, "/a.mid", "train", "train").to_line()
    assert line == b'{"sha256":"' + A.encode() + b'","source":"/a.mid","split":"train"}\n'


def test_no_changed_byte_goes_unnoticed(tmp_path):
    name = write_assignments(tmp_path, KNOWN)
    whole = (tmp_path / name).read_bytes()
    for at in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DamagedError, match=name):
            read_assignments(tmp_path, name)
    assert history(tmp_path, name) == {}


@pytest.mark.parametrize(
    "line", [b"7", b"{}", b'{"sha256":"xy","source":"a","split":"train"}', b'{"sha256":"00","source":"a","split":"x"}']
)
def test_lines_that_no_run_has_written(line):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Assignment.from_line(line)


def test_only_what_is_needed_stays(tmp_path):
    first, second = write_assignments(tmp_path, KNOWN[:1]), write_assignments(tmp_path, KNOWN)
    clear_assignments(tmp_path, {second})
    assert not (tmp_path / first).exists()
    assert read_assignments(tmp_path, second) == KNOWN


def test_a_data_set_without_history(tmp_path):
    assert history(tmp_path, None) == {}
