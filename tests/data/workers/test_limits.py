"""Limits are set in processes of their own: nobody can raise them again."""

import subprocess
import sys

import pytest

from aurl.data.workers import limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process takes")
MEBIBYTE = 2**20


def run(script):
    """What a new process prints."""
    lines = ["import resource, sys", "from aurl.data.workers.limits import data_bytes, limit_memory", *script]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_more_than_the_limit_is_refused_and_less_is_not():
    script = [
        f"limit_memory({64 * MEBIBYTE})",
        f"kept = bytearray({32 * MEBIBYTE})",
        "try:",
        f"    bytearray({64 * MEBIBYTE})",
        "except MemoryError:",
        "    print('refused')",
        f"bytearray({16 * MEBIBYTE})",
        "print(*resource.getrlimit(resource.RLIMIT_CORE))",
    ]
    assert run(script) == ["refused", "0", "0"]


def test_a_harder_limit_of_the_system_stays():
    script = [
        f"hard = data_bytes() + {16 * MEBIBYTE}",
        "resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))",
        f"limit_memory({1024 * MEBIBYTE})",
        "print(*(limit == hard for limit in resource.getrlimit(resource.RLIMIT_DATA)))",
    ]
    assert run(script) == ["True", "True"]


def test_memory_is_what_the_process_has_taken():
    before = limits.data_bytes()
    taken = bytearray(200 * MEBIBYTE)
    assert 190 * MEBIBYTE < limits.data_bytes() - before < 210 * MEBIBYTE
    assert len(taken) == 200 * MEBIBYTE


def test_where_nothing_can_be_limited_it_is_told():
    script = [
        "import logging",
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')",
        "before = resource.getrlimit(resource.RLIMIT_DATA)",
        "sys.platform = 'elsewhere'",
        "limit_memory(1)",
        "print(resource.getrlimit(resource.RLIMIT_DATA) == before)",
    ]
    assert run(script) == ["no", "memory", "limit", "for", "workers", "on", "elsewhere", "True"]
