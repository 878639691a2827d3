"""Files damaged by the thousand are read or refused by name; `benchmarks/mutations.py` says what is checked of each."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from benchmarks.mutations import MUTATIONS, outcome
from tests.support.midi_bytes import midi, timed
from tests.support.midi_files import smf, tune

from aurl.midi.reasons import RejectReason

ROOT = Path(__file__).parents[2]
OUTCOMES = {"read", "repaired", *(str(reason) for reason in RejectReason)}


def piano(seed, *, notes=300):
    """A performance: chords, pedal, running status, several tempi, long and short pauses, and words."""
    rng = np.random.default_rng(seed)
    messages, now = [(0, b"\xff\x03\x05Piano"), (0, b"\xff\x58\x04\x03\x02\x18\x08"), (0, b"\xc0\x00")], 0
    for index in range(notes):
        now += int(rng.choice([0, 7, 60, 240, 5000]))
        pitch = int(rng.integers(21, 109))
        messages.append((now, bytes([0x90, pitch, int(rng.integers(1, 128))])))
        messages.append((now + int(rng.integers(0, 700)), bytes([0x90, pitch, 0])))
        if index % 9 == 0:
            messages.append((now, bytes([0xB0, 64, int(rng.integers(128))])))
        if index % 50 == 0:
            messages.append((now, b"\xff\x51\x03" + int(rng.integers(300_000, 900_000)).to_bytes(3, "big")))
            messages.append((now, b"\xff\x05\x03la!"))
    messages.sort(key=lambda message: message[0])
    return running(messages)


def running(messages):
    """A file in which repeated statuses are left out, as most sequencers do."""
    shortened, status = [], None
    for tick, message in messages:
        shortened.append((tick, message[1:] if message[0] == status else message))
        status = message[0] if message[0] < 0xF0 else None
    return midi(timed(shortened), timed([(0, b"\x99\x24\x50"), (96, b"\x89\x24\x40")]), division=220)


def drums():
    return smf([(i * 120, 60, 36 + i % 7, 90) for i in range(200)], meter=(6, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("real-like")
    files = [piano(1), piano(2, notes=2000), drums(), *(tune(seed) for seed in range(5))]
    for index, data in enumerate(files):
        assert outcome(data, Counter()) in ("read", "repaired")
        (path / f"{index}.mid").write_bytes(data)
    return path


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_damaged_files_are_read_or_refused_by_name(mutation):
    for seed in range(8):
        data = bytearray(piano(seed, notes=60))
        mutation(data, np.random.default_rng(seed))
        assert outcome(bytes(data), Counter()) in OUTCOMES


@pytest.mark.slow
def test_a_thousand_damaged_files_under_a_limit_of_memory(folder):
    command = [sys.executable, "-m", "benchmarks.mutations", str(folder), "--count", "1000", "--memory-mb", "512"]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert found.returncode == 0, found.stdout + found.stderr
    result = json.loads(found.stdout)
    assert result["failures"] == []
    assert sum(result["reasons"].values()) == 1000
    assert set(result["reasons"]) <= OUTCOMES
    assert result["reasons"]["repaired"] > 100
    assert {"malformed", "no_notes"} <= set(result["reasons"])
