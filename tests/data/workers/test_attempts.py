import pytest
from tests.support.poison import Errand

from aurl.data.workers.attempts import MAX_UNEXPLAINED, Attempts
from aurl.data.workers.worker import LOST, MEMORY_EXIT, NO_FILE, OUT_OF_TIME, Ended, ending_of, read_mark
from aurl.errors import AurlError


@pytest.fixture
def attempts():
    return Attempts(Errand("errand", ("a", "b", "c"), ""))


def reasons(attempts):
    return {index: str(fault.reason) for index, fault in attempts.faults.items()}


def test_the_item_that_ended_its_worker_is_left_out(attempts):
    for index, ending in enumerate(("SIGSEGV", OUT_OF_TIME, str(MEMORY_EXIT))):
        attempts.blame(Ended(index, ending))
    assert reasons(attempts) == {0: "crash", 1: "timeout", 2: "memory"}
    assert attempts.unexplained == 0


@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", LOST])
def test_an_item_is_blamed_for_deaths_from_outside_only_when_they_go_on(attempts, ending):
    for _ in range(MAX_UNEXPLAINED - 1):
        attempts.blame(Ended(1, ending))
    assert attempts.faults == {}
    attempts.blame(Ended(1, ending))
    assert reasons(attempts) == {1: "crash"}


@pytest.mark.parametrize("index", [NO_FILE, 3, 0])
def test_workers_that_keep_ending_outside_items_are_an_error(attempts, index):
    attempts.blame(Ended(0, "SIGSEGV"))
    for _ in range(MAX_UNEXPLAINED - 1):
        attempts.blame(Ended(index, "SIGSEGV"))
    with pytest.raises(AurlError, match="outside any file: SIGSEGV"):
        attempts.blame(Ended(index, "SIGSEGV"))
    assert reasons(attempts) == {0: "crash"}


def test_endings_have_names():
    assert [ending_of(code) for code in (-11, -14, 0, 77, -999)] == ["SIGSEGV", "SIGALRM", "0", "77", "-999"]


def test_a_mark_that_is_not_there_or_cut_short_names_no_file(tmp_path):
    assert read_mark(tmp_path / "mark") == NO_FILE
    (tmp_path / "mark").write_bytes(b"123")
    assert read_mark(tmp_path / "mark") == NO_FILE
