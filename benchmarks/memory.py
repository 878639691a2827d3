"""Runs part of a benchmark in a process of its own and watches how much memory it and its workers take."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

MEBIBYTE = 2**20
POLL_SECONDS = 0.01


def measured(module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What `python -m module arguments` prints as JSON, with `peak_mib` and `peak_worker_mib`, its largest child's."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    peaks: dict[int, float] = {}
    watcher = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peaks))
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} failed")
    own = peaks.pop(process.pid, 0.0)
    return {**json.loads(output), "peak_mib": own, "peak_worker_mib": max(peaks.values(), default=0.0)}


def _watch(process: psutil.Process, peaks: dict[int, float]) -> None:
    """Highest resident memory of the process and of every descendant, as the system has kept it."""
    while _runs(process):
        for one in (process, *_children(process)):
            peaks[one.pid] = max(peaks.get(one.pid, 0.0), _peak_mib(one.pid))
        time.sleep(POLL_SECONDS)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _peak_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / MEBIBYTE for line in lines if line.startswith("VmHWM:")), 0.0)
