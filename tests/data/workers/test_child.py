import os
import pickle
import subprocess
import sys
import time
from threading import Thread

import psutil
import pytest
from tests.support.poison import Errand, full_disk, raise_unsendable, sleep_unmarked, suffer

from aurl.data.workers.child import Child, pack, serve, unpack
from aurl.data.workers.worker import OUT_OF_TIME, fault_of, read_mark
from aurl.midi.reasons import RejectReason

MEMORY_BYTES = 100 * 2**20
PATIENCE_SECONDS = 20


@pytest.fixture
def child():
    child = Child(MEMORY_BYTES)
    yield child
    child.end()
    assert not child.alive


def errand(tmp_path, *kinds, work=suffer):
    return pack(work, Errand("errand", kinds, str(tmp_path)), {}, tmp_path / "mark", 1.0)


def test_one_child_does_several_tasks(child, tmp_path):
    for count in (1, 3, 2):
        answer = child.do(errand(tmp_path, *["fine"] * count), PATIENCE_SECONDS)
        assert unpack(answer) == dict.fromkeys(range(count), "done")
    assert not (tmp_path / "mark").exists()


def test_what_the_work_raises_is_raised_here(child, tmp_path):
    with pytest.raises(OSError, match="No space left"):
        unpack(child.do(errand(tmp_path, "fine", work=full_disk), PATIENCE_SECONDS))
    assert unpack(child.do(errand(tmp_path, "fine"), PATIENCE_SECONDS)) == {0: "done"}


def test_what_libraries_print_does_not_mix_with_answers(child, tmp_path):
    assert unpack(child.do(errand(tmp_path, "print", "fine"), PATIENCE_SECONDS)) == {0: "done", 1: "done"}


def test_an_error_that_cannot_be_sent_ends_it(child, tmp_path):
    assert child.do(errand(tmp_path, work=raise_unsendable), PATIENCE_SECONDS) == "1"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("crash", RejectReason.CRASH), ("hang in C", RejectReason.TIMEOUT), ("bomb", RejectReason.MEMORY)],
)
def test_the_way_it_ends_tells_what_happened(child, tmp_path, kind, reason):
    ending = child.do(errand(tmp_path, "fine", kind), PATIENCE_SECONDS)
    assert fault_of(ending).reason is reason
    assert not child.alive
    assert child.do(errand(tmp_path, "fine"), PATIENCE_SECONDS) == ending, "a child that has ended says so again"


def test_a_task_that_stops_its_alarm_clock_is_ended_from_here(child, tmp_path):
    assert child.do(errand(tmp_path, work=sleep_unmarked), 0.5) == OUT_OF_TIME


def test_it_ends_with_its_parent_in_the_middle_of_a_task(tmp_path):
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from aurl.data.workers.child import Child, pack
from tests.support.poison import Errand, suffer
child = Child({MEMORY_BYTES})
print(child._process.pid, flush=True)
child.do(pack(suffer, Errand("errand", ("hang",), ""), {{}}, Path({str(tmp_path / "mark")!r}), 600.0), 600.0)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while read_mark(tmp_path / "mark") != 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert read_mark(tmp_path / "mark") == 0
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=PATIENCE_SECONDS)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_it_ends_when_nothing_comes_for_long(tmp_path):
    child = Child(MEMORY_BYTES, idle_seconds=0.3)
    assert unpack(child.do(errand(tmp_path, "fine"), PATIENCE_SECONDS)) == {0: "done"}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while child.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.do(errand(tmp_path, "fine"), PATIENCE_SECONDS) == "0"
    child.end()


def test_messages_are_answered_in_order_until_they_end(tmp_path):
    source, sink = os.pipe(), os.pipe()
    with (
        os.fdopen(source[0], "rb") as served,
        os.fdopen(source[1], "wb") as asking,
        os.fdopen(sink[0], "rb") as answers,
        os.fdopen(sink[1], "wb") as answering,
    ):
        thread = Thread(target=serve, args=(served, answering))
        thread.start()
        for message in (errand(tmp_path, "fine"), errand(tmp_path, "fine", work=full_disk), b"no message"):
            pickle.dump(message, asking)
        asking.flush()
        assert unpack(pickle.load(answers)) == {0: "done"}
        for error in (OSError, pickle.UnpicklingError):
            with pytest.raises(error):
                unpack(pickle.load(answers))
        asking.close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
