"""What the machine offers: device, threads, and the arithmetic that is fastest on it."""

import os
import time
from functools import cache
from statistics import median
from typing import Literal

import psutil
import torch

from aurl.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]
PROBE_SIZE = 512
PEAK_SIZE = 8192
"""A GPU is not busy with less."""
PROBE_REPEATS = 9
WORTHWHILE_SPEEDUP = 1.2
"""bf16 costs conversions around every matrix product; a smaller gain does not pay for them."""
MIB = 2**20


def default_threads(processes_here: int) -> int:
    """`OMP_NUM_THREADS`, or this process's share of the physical cores that the run may use on this machine."""
    if (chosen := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        return max(1, int(chosen))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, min(allowed, physical) // processes_here)


def check_precision(asked: str, device: str | None) -> None:
    """Make sure, before anything is made, that what is asked for can be had.

    Args:
        asked: as in the profile.
        device: "cpu" leaves a GPU alone; None: the fastest there is.

    Raises:
        UsageError: fp16 without a GPU.
    """
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if asked == "fp16" and (device == "cpu" or not has_gpu):
        raise UsageError("training.precision fp16 needs a GPU", hint='use "bf16", "fp32" or "auto"')


def choose_precision(asked: str, device: torch.device) -> Precision:
    """The precision of the forward pass: what was asked for, or for "auto" the fastest that trains safely.

    Raises:
        UsageError: fp16 without a GPU.
    """
    check_precision(asked, device.type)
    if asked != "auto":
        return asked  # type: ignore[return-value]
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if bf16_speedup() >= WORTHWHILE_SPEEDUP else "fp32"
    return "fp32"


def bf16_speedup() -> float:
    """How many times faster this CPU multiplies bf16 matrices than float32 ones; measured in some milliseconds."""
    return _matmul_seconds(torch.float32) / _matmul_seconds(torch.bfloat16)


def _matmul_seconds(dtype: torch.dtype) -> float:
    left = torch.ones(PROBE_SIZE, PROBE_SIZE, dtype=dtype)
    return median([_seconds_of(left) for _ in range(PROBE_REPEATS)][1:])


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype, threads: int) -> float:
    """Operations per second of the fastest of a few square matrix products: what share of the hardware is a share of.

    Args:
        device: where.
        dtype: of the factors.
        threads: of a CPU, which must be what torch has now; for the memory of what was measured.
    """
    size = PEAK_SIZE if device.type == "cuda" else PROBE_SIZE
    left = torch.ones(size, size, dtype=dtype, device=device)
    best = min(_seconds_of(left) for _ in range(PROBE_REPEATS))
    return 2.0 * size**3 / best


def _seconds_of(left: torch.Tensor) -> float:
    _wait_for(left.device)
    begin = time.perf_counter()
    torch.mm(left, left)
    _wait_for(left.device)
    return time.perf_counter() - begin


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def resident_mib() -> float:
    """Memory that this process holds, in MiB."""
    return float(psutil.Process().memory_info().rss) / MIB
