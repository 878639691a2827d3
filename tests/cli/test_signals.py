"""Signals are wishes; the second is a command."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from aurl.cli.signals import listening

LONG_TASK = """
import os, sys, time
from aurl.cli.signals import exit_code, listening
obedient = sys.argv[1] == "obedient"
with listening(lambda text: print(text, file=sys.stderr, flush=True)) as interrupts:
    if sys.argv[1] == "parent" and os.fork() == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
        for _ in range(600):
            time.sleep(0.1)
        os._exit(0)
    os.write(1, b"ready\\n")
    while not (obedient and interrupts.stop):
        if interrupts.save:
            interrupts.save = False
            print("saved", flush=True)
        time.sleep(0.01)
    if sys.argv[2:] == ["lingering"]:
        # A signal that comes while the last step is finished must find somebody who listens.
        time.sleep(1)
print("finished", flush=True)
sys.exit(exit_code(interrupts.stop))
"""

CLEANING_UP = """
import sys, time
from aurl.cli.signals import exit_on_terminate
exit_on_terminate()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("cleaned", flush=True)
"""


@pytest.fixture
def start(environment):
    started = []

    def start(script, *args, **variables):
        for name, value in variables.items():
            environment.setenv(name, value)
        process = subprocess.Popen(
            [sys.executable, "-c", script, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_lets_the_task_finish(start, number, code):
    process = start(LONG_TASK, "obedient")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("finished\n", code)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("first", "second", "code"), [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGINT, signal.SIGTERM, 143)]
)
def test_second_signal_exits_at_once(start, first, second, code):
    process = start(LONG_TASK, "stubborn")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    assert process.stderr.readline()
    process.send_signal(second)
    assert (process.communicate(timeout=30)[0], process.returncode) == ("", code)


def test_save_signal_saves_and_goes_on(start):
    process = start(LONG_TASK, "obedient")
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "saved\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_launcher_passing_the_same_signal_on_is_no_second_one(start):
    process = start(LONG_TASK, "obedient", "lingering", RANK="0")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert (process.communicate(timeout=30)[0], process.returncode) == ("finished\n", 130)


def test_forked_worker_leaves_interrupts_to_its_parent_and_dies_when_terminated(start):
    process = start(LONG_TASK, "parent")
    lines = {process.stdout.readline().strip(), process.stdout.readline().strip()}
    [worker] = [int(line) for line in lines - {"ready"}]
    os.kill(worker, signal.SIGINT)
    os.kill(worker, 0)
    os.kill(worker, signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    # Only the parent tells of it: one line, not two.
    assert "stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == ""


def test_terminated_command_cleans_up(start):
    process = start(CLEANING_UP)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert (process.communicate(timeout=30)[0], process.returncode) == ("cleaned\n", 143)


def test_handlers_are_put_back():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    with listening(print) as interrupts:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert interrupts.save
        assert signal.getsignal(signal.SIGINT) is not before[signal.SIGINT]
    assert {number: signal.getsignal(number) for number in before} == before
