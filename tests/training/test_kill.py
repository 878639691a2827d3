"""SIGKILL at random moments; `benchmarks/kill_resume.py` does more of it, through the command line."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.training import small_profile, tensors, told

from aurl.training.trainer import fit, resume

ROOT = Path(__file__).parents[2]
STEPS = 200
SCRIPT = """
import sys
from pathlib import Path
from aurl.training.trainer import fit, resume
from tests.support.training import small_profile
run = Path(sys.argv[2])
if (run / "run.json").exists():
    resume(run)
else:
    fit(small_profile(max_steps=int(sys.argv[3])), Path(sys.argv[1]), run, threads=1)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_is_the_run_that_was_not(dataset, tmp_path):
    fit(small_profile(max_steps=STEPS), dataset, tmp_path / "whole", threads=1)
    rng = random.Random(1)
    run = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    for _ in range(3):
        before = len(told(run))
        command = [sys.executable, "-c", SCRIPT, str(dataset), str(run), str(STEPS)]
        with subprocess.Popen(command, env=environment) as process:
            while len(told(run)) <= before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.7))
            process.kill()
    resume(run)
    assert told(run) == told(tmp_path / "whole")
    assert tensors(run) == tensors(tmp_path / "whole")
