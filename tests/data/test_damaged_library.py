"""A library of damaged files, written music and archives is prepared to the last file; see the benchmark."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.damage import ARCHIVE_MUTATIONS, PACKAGES, XML_MUTATIONS, packed
from tests.support.midi_files import tune, write_tunes
from tests.support.written_music import COMMON, musicxml, mxl, note, part

from aurl.data.inputs import find, read_source

ROOT = Path(__file__).parents[2]
MUSICXML = musicxml(part(*[COMMON + "".join(note(pitch, 4) for pitch in ("C4", "E4", "G4", "C5"))] * 4))
ABC = b"X:1\nT:Tune\nM:4/4\nL:1/4\nK:G\n|:GABc|dcBA|G4:|\n" * 2
KERN = b"**kern\n*M4/4\n=1\n4c\n4d\n4e\n4f\n=2\n1g\n==\n*-\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_undamaged_archives_hold_their_files(tmp_path, package):
    members = {"a.mid": tune(1)} if package == ".gz" else {"a.mid": tune(1), "b.mid": tune(2)}
    (tmp_path / f"pack.mid{package}").write_bytes(packed(members, package))
    found = find([tmp_path], spool=tmp_path / "spool", max_bytes=10**6).sources
    assert [read_source(one.path, 10**6, spool=tmp_path / "spool") for one in found] == list(members.values())


@pytest.mark.parametrize("mutation", [*XML_MUTATIONS, *ARCHIVE_MUTATIONS[1:]], ids=lambda mutation: mutation.__name__)
def test_every_mutation_is_seeded_and_does_harm(mutation):
    results = []
    for seed in [*range(20), *range(20)]:
        data = bytearray(MUSICXML)
        mutation(data, np.random.default_rng(seed))
        results.append(bytes(data))
    assert results[:20] == results[20:]
    assert len(set(results[:20]) - {MUSICXML}) > 10


@pytest.mark.slow
def test_a_damaged_library_is_prepared_to_the_last_file(tmp_path):
    write_tunes(tmp_path / "midi", 12)
    notation = tmp_path / "notation"
    notation.mkdir()
    for name, text in {"a.xml": MUSICXML, "b.mxl": mxl(MUSICXML), "c.abc": ABC, "d.krn": KERN}.items():
        (notation / name).write_bytes(text)
    shares = ["--notation-share", "0.3", "--archive-share", "0.2", "--keep", str(tmp_path / "kept")]
    command = [sys.executable, "-m", "benchmarks.damaged_library", str(tmp_path / "midi"), "--notation", str(notation)]
    done = subprocess.run(
        [*command, "--count", "150", "--seed", "1", *shares],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["files"] == found["prepared"] + found["rejected"] + found["duplicates"] + found["left_out"] > 140
    assert {"malformed", "damaged_archive"} <= set(found["rejects"])
    assert found["prepared"] > 30
    assert (tmp_path / "kept" / "dataset" / "manifest.json").exists()
