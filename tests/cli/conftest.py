"""The command line as a user has it: a home of its own, nothing configured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Variables of a fresh user, for this process and those that it starts."""
    for variable in [name for name in os.environ if name.startswith(("AURL_", "XDG_", "_AURL"))]:
        monkeypatch.delenv(variable)
    for variable in ("RANK", "WORLD_SIZE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("AURL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "user").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return monkeypatch


@pytest.fixture
def aurl(environment):
    """Run `python -m aurl ARGS…`; text in, text out unless `text=False`."""

    def run(*args, python=(), **options):
        command = [sys.executable, *python, "-m", "aurl", *map(str, args)]
        return subprocess.run(
            command, check=False, **({"capture_output": True, "text": True, "timeout": 300} | options)
        )

    return run
