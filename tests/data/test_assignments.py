import pytest

from aurl.data.assignments import Assignment, clear_assignments, history, read_assignments, write_assignments
from aurl.errors import DamagedError

A, B, C = (f"{number:064x}" for number in range(3))
KNOWN = [
    Assignment(A, "/music/a.mid", "train", "train"),
    Assignment(B, "/music/\udcff\u202e.mid", "train", "valid", leader=A, served=False),
    Assignment(C, "/music/pack.zip!/c.mid", "test", "test", labels={"composer": "Händel", "genre": "a\nb"}),
]


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
