import os

import psutil
import pytest
import torch

from aurl.errors import UsageError
from aurl.training.hardware import bf16_speedup, choose_precision, default_threads, matmul_peak, resident_mib

CPU = torch.device("cpu")


def test_threads_are_shared_between_processes(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8)
    assert [default_threads(count) for count in (1, 2, 4, 8)] == [6, 3, 1, 1]


def test_what_the_user_says_about_threads_holds(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads(2) == 3


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_precision_is_what_was_asked_for(asked):
    assert choose_precision(asked, CPU) == asked


def test_fp16_needs_a_gpu():
    with pytest.raises(UsageError, match="fp16"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize(("speedup", "expected"), [(0.2, "fp32"), (1.1, "fp32"), (1.5, "bf16"), (4.0, "bf16")])
def test_automatic_precision_is_the_fastest(monkeypatch, speedup, expected):
    monkeypatch.setattr("aurl.training.hardware.bf16_speedup", lambda: speedup)
    assert choose_precision("auto", CPU) == expected


def test_speed_and_memory_are_measured():
    assert bf16_speedup() > 0
    assert 10 < resident_mib() < 100_000
    assert 1e6 < matmul_peak(CPU, torch.float32, torch.get_num_threads()) < 1e16
