"""The command line as a user has it: a home of its own, nothing configured."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import TINY
from tests.support.midi_files import write_tunes

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


@pytest.fixture
def invoke(environment, capsys):
    """Run a command in this process, which has torch already: (exit code, stdout, stderr)."""
    from aurl.cli.app import run

    handlers, terminated = logging.getLogger().handlers, signal.getsignal(signal.SIGTERM)

    def invoke(*args):
        with pytest.raises(SystemExit) as caught:
            run([str(arg) for arg in args])
        said = capsys.readouterr()
        return caught.value.code, said.out, said.err

    yield invoke
    signal.signal(signal.SIGTERM, terminated)
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers = handlers
    logging.getLogger("aurl").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A home with the data set `songs` and the run `first` of a tiny model; nobody writes to it."""
    folder = tmp_path_factory.mktemp("trained")
    write_tunes(folder / "songs", 24)
    (folder / "user").mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AURL_")}
    variables |= {"AURL_HOME": str(folder / "home"), "HOME": str(folder / "user")}
    variables |= {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    for args in (["prepare", str(folder / "songs")], ["train", "--name", "first", *TINY, "--max-steps", "6"]):
        command = [sys.executable, "-m", "aurl", *args, "--quiet"]
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=300)
    return folder / "home"


@pytest.fixture
def home(trained, environment, tmp_path):
    """A copy of the trained home, as the home of this test."""
    shutil.copytree(trained, tmp_path / "home")
    return tmp_path / "home"
