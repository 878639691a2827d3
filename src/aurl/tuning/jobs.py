"""Trials in several processes at once, which share a study through its folder."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from aurl.errors import AurlError, ExitCode
from aurl.progress import Interrupts, Progress, Report
from aurl.training.hardware import default_threads
from aurl.tuning.ledger import Ledger
from aurl.tuning.work import End, Limits

JOB_MODULE = "aurl.tuning.job"
POLL_SECONDS = 0.5
GPUS = "CUDA_VISIBLE_DEVICES"
TAIL_BYTES = 2000
"""Of what a job wrote to stderr, to tell why it ended."""


def work_in_jobs(
    ledger: Ledger, limits: Limits, begun: Sequence[int], jobs: int, report: Report, interrupts: Interrupts
) -> End:
    """Run trials in `jobs` processes, each of which takes the next one when it is through with one.

    Args:
        ledger: of the study.
        limits: where to end; `trials` is for all processes together.
        begun: numbers of the trials to go on with.
        jobs: at least 2.
        report: told of how many trials are over.
        interrupts: passed on to all processes.

    Raises:
        AurlError: a process failed, the others being asked to stop.
    """
    left = None if limits.deadline is None else max(0.0, limits.deadline - time.monotonic())
    task = {"study": str(ledger.folder), "trials": limits.trials, "seconds": left, "device": limits.device}
    task["sitting"] = ledger.sitting
    task["threads"] = limits.threads or default_threads(jobs)
    with _started(ledger.folder, jobs, task, begun) as processes:
        _watch(ledger, processes, limits.trials, report, interrupts)
        ends = [_end_of(number, process, ledger.folder) for number, process in enumerate(processes)]
    return next((end for end in (End.SIGNAL, End.MAX_MINUTES) if end in ends), End.TRIALS)


def _watch(
    ledger: Ledger, processes: Sequence["subprocess.Popen[str]"], most: int, report: Report, interrupts: Interrupts
) -> None:
    """Until all processes have ended; where one fails, the others are asked to stop."""
    told = None
    while any(process.poll() is None for process in processes):
        failed = any(process.returncode for process in processes)
        asked = interrupts.stop if interrupts.stop is not None else (1 if failed else None)
        if asked is not None and asked != told:
            told = asked
            for process in processes:
                _send(process, {"stop": asked})
        report(Progress("tune", ledger.settled(), most, "trials"))
        time.sleep(POLL_SECONDS)


@contextmanager
def _started(
    folder: Path, jobs: int, task: dict[str, Any], begun: Sequence[int]
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Start the processes; whatever happens, none of them is left at the end."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(jobs):
            with _errors(folder, number).open("wb") as stderr:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", JOB_MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=job_environment(number, task["threads"]),
                    text=True,
                    start_new_session=True,  # Ctrl-C is the parent's to hear; it tells the jobs
                )
            processes.append(process)
            _send(process, {**task, "begun": list(begun[number::jobs])})
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what it was sent at last it has not read
                    if pipe is not None:
                        pipe.close()


def _errors(folder: Path, number: int) -> Path:
    return folder / f"job-{number}.stderr"


def job_environment(number: int, threads: int) -> dict[str, str]:
    """Variables of a job: its share of the threads, and a GPU of its own where there are several."""
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    if (count := torch.cuda.device_count()) > 1:
        gpus = [gpu for gpu in os.environ.get(GPUS, "").split(",") if gpu] or [str(gpu) for gpu in range(count)]
        own[GPUS] = gpus[number % len(gpus)]
    return {**os.environ, **own}


def _send(process: "subprocess.Popen[str]", message: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # it has ended; its exit code tells how
        if process.stdin is not None:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()


def _end_of(number: int, process: "subprocess.Popen[str]", folder: Path) -> End:
    """Why a process ended.

    Raises:
        AurlError: it failed.
    """
    line = process.stdout.readline() if process.stdout is not None else ""
    told: dict[str, Any] = json.loads(line) if line.strip() else {}
    if "end" in told:
        return End(told["end"])
    if "error" in told:
        raise JobError(**told["error"])
    code = process.returncode
    cause = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    said = _errors(folder, number).read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip().splitlines()
    raise AurlError(
        f"job {number} {cause}{f': {said[-1]}' if said else ''}", hint="the same command goes on with its trial"
    )


class JobError(AurlError):
    """What a job failed of, with the exit code that it would have had.

    Args:
        message: as the job has it.
        hint: likewise.
        exit_code: likewise.
    """

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = ExitCode(exit_code)
