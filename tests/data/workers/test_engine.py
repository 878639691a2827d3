import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.support.poison import Errand, die_outside_any_file, full_disk, suffer, vanish_once

from aurl.data.workers.engine import Engine
from aurl.errors import AurlError
from aurl.progress import Interrupts


@pytest.fixture
def engine(tmp_path):
    with Engine(jobs=2, folder=tmp_path, timeout_seconds=1, memory_mb=100) as engine:
        yield engine


def outcomes(engine, tmp_path, *tasks):
    errands = [Errand(f"errand{number}", kinds, str(tmp_path)) for number, kinds in enumerate(tasks)]
    results = dict(engine.run(errands, suffer, Interrupts()))
    return [list(results[errand].values()) for errand in errands]


def test_all_tasks_are_done_once(engine, tmp_path):
    assert outcomes(engine, tmp_path, *[("fine",) * 3] * 20) == [["done"] * 3] * 20


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("crash", "crash"), ("quit", "crash"), ("hang", "timeout"), ("hang in C", "timeout"), ("bomb", "memory")],
)
def test_poison_costs_only_itself(engine, tmp_path, kind, reason):
    found = outcomes(engine, tmp_path, ("fine", kind, "fine"), ("fine", "fine"))
    assert found == [["done", reason, "done"], ["done", "done"]]


def test_several_poisons_in_one_task(engine, tmp_path):
    found = outcomes(engine, tmp_path, ("crash", "bomb", "fine", "hang", "crash"))
    assert found == [["crash", "memory", "done", "timeout", "crash"]]


def test_a_worker_killed_from_outside_is_no_fault_of_the_file(engine, tmp_path):
    assert outcomes(engine, tmp_path, ("fine", "killed once", "fine")) == [["done"] * 3]


def test_a_file_whose_worker_is_always_killed_is_given_up(engine, tmp_path):
    assert outcomes(engine, tmp_path, ("fine", "killed", "fine")) == [["done", "crash", "done"]]


def test_workers_killed_while_idle_are_replaced(engine, tmp_path):
    errands = [Errand(f"errand{number}", ("fine",), str(tmp_path)) for number in range(30)]
    done = 0
    for _ in engine.run(errands, suffer, Interrupts()):
        if done in (2, 9):
            for pid in list(engine._pool._pool_manager.worker_manager.workers):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
        done += 1
    assert done == 30


def test_a_task_that_nobody_is_at_is_done_again(engine, tmp_path, monkeypatch):
    """As after a worker that was killed when it had just taken the task, which pebble may never tell."""
    monkeypatch.setattr("aurl.data.workers.engine.LOST_SECONDS", 1.0)
    errands = [Errand(f"errand{number}", ("fine",), str(tmp_path)) for number in range(3)]
    found = dict(engine.run(errands, vanish_once, Interrupts()))
    assert list(found.values()) == ["done"] * 3


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from aurl.data.workers.engine import Engine
from aurl.errors import AurlError
from aurl.progress import Interrupts
from tests.support.poison import Errand, suffer, vanish_once
with Engine(jobs=1, folder=Path({str(tmp_path)!r}), timeout_seconds=30, memory_mb=100) as engine:
    try:
        list(engine.run([Errand("a", ("fine",), "")], suffer, Interrupts()))
    except AurlError as error:
        print(error.hint)
""")
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=60)
    assert "__main__" in done.stdout


def test_workers_that_die_outside_any_file_are_an_error(engine, tmp_path):
    with pytest.raises(AurlError, match="outside any file"):
        list(engine.run([Errand("one", ("fine",), str(tmp_path))], die_outside_any_file, Interrupts()))


def test_errors_of_the_work_itself_are_raised_here(engine, tmp_path):
    with pytest.raises(OSError, match="No space left"):
        list(engine.run([Errand("one", ("fine",), str(tmp_path))], full_disk, Interrupts()))


def test_stop_finishes_what_runs_and_begins_nothing(engine, tmp_path):
    interrupts = Interrupts()
    errands = [Errand(f"errand{number}", ("fine",), str(tmp_path)) for number in range(50)]
    results = []
    for errand, result in engine.run(errands, suffer, interrupts):
        results.append((errand, result))
        interrupts.stop = 2
    assert 1 <= len(results) <= 1 + 2 * engine.jobs
    assert all(result == {0: "done"} for _, result in results)


def test_stop_is_noticed_while_nothing_is_ready(tmp_path):
    interrupts = Interrupts()
    errands = [Errand(f"errand{number}", ("hang",), str(tmp_path)) for number in range(50)]
    with Engine(jobs=1, folder=tmp_path, timeout_seconds=1, memory_mb=100) as engine:
        threading.Timer(0.3, setattr, (interrupts, "stop", 15)).start()
        assert list(engine.run(errands, suffer, interrupts)) == []


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from aurl.data.workers.engine import Engine
from aurl.progress import Interrupts
from tests.support.poison import Errand, suffer, vanish_once
if __name__ == "__main__":
    with Engine(jobs=2, folder=Path({str(tmp_path)!r}), timeout_seconds=1, memory_mb=100) as engine:
        run = engine.run([Errand("a", ("fine",), ""), Errand("b", ("hang",), "")], suffer, Interrupts())
        print(next(run)[0].name, *engine._pool._pool_manager.worker_manager.workers, flush=True)
        list(run)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    name, *workers = parent.stdout.readline().split()
    assert name == "a"
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_is_running(int(pid)) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_is_running(int(pid)) for pid in workers)


def _is_running(pid):
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
