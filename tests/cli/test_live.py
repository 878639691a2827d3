"""The panel of a training: what it shows of what it is told."""

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console
from tests.support.command_line import TINY

from aurl.cli.live import BLOCKS, PLAIN_BLOCKS, TrainingPanel, sparkline
from aurl.progress import Progress

METRICS = {
    "epoch": 0,
    "tokens": 100,
    "train/loss": 4.25,
    "train/nats_per_token": 3.125,
    "valid/nats_per_token": 3.5,
    "valid/elbo_per_note": 11.25,
    "train/kl_global": 0.5,
    "train/kl_fine": 0.25,
    "valid/active_units_fine": 0.75,
    "beta": 0.1,
    "train/discriminator_accuracy": 0.625,
    "tokens_per_second": 12345.6,
    "memory_mib": 512.4,
}


def shown(panel, width=100):
    """Lines of the panel without its frame."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(panel)
    return [line.strip("│╭╮╰╯─ \n") for line in console.file.getvalue().splitlines()]


@pytest.fixture
def panel():
    now = [100.0]
    panel = TrainingPanel(clock=lambda: now[0])
    now[0] = 165.0
    return panel


def test_how_far_it_is(panel):
    panel.report(Progress("train", 50, 200, "steps", "", 3725.0, METRICS))
    text = "\n".join(shown(panel))
    assert "steps 50 of 200 · 25% · 1 min 05 s gone · 1 h 02 min left · 12,346 tokens/s · 512 MiB" in text


def test_without_an_end_there_is_none_to_tell(panel):
    panel.report(Progress("train", 7, None, "steps"))
    text = "\n".join(shown(panel))
    assert "steps 7 · 1 min 05 s gone" in text
    assert "left" not in text


def test_train_and_valid_stand_below_each_other(panel):
    panel.report(Progress("train", 1, None, "steps", metrics=METRICS))
    rows = [line.split() for line in shown(panel)]
    assert ["loss", "nats_per_token", "elbo_per_note"] in rows
    assert ["train", "4.25", "3.125", "–"] in rows
    assert ["valid", "–", "3.5", "11.25"] in rows


def test_levels_and_adversary_are_shown_where_there_are_any(panel):
    panel.report(Progress("train", 1, None, "steps", metrics=METRICS))
    rows = [line.split() for line in shown(panel)]
    assert ["global", "0.5", "–", "–"] in rows
    assert ["fine", "0.25", "0.75", "–"] in rows
    assert any("beta 0.1 · discriminator_accuracy 0.625" in line for line in shown(panel))
    panel.report(Progress("train", 1, None, "steps", metrics={"train/loss": 1.0}))
    assert not any("KL" in line or "beta" in line for line in shown(panel))


def test_the_curve_grows_with_each_record_not_with_each_step(panel):
    for step in range(1, 40):
        metrics = METRICS | {"tokens": step // 10, "train/loss": 4.0 - step // 10}
        panel.report(Progress("train", step, None, "steps", metrics=metrics))
    curve = next(line for line in shown(panel) if line.startswith("train/loss "))
    assert curve == "train/loss █▆▃▁"


def test_what_is_no_number_is_not_drawn(panel):
    for tokens, loss in enumerate((1.0, None, float("nan"), 0.0)):
        panel.report(Progress("train", 1, None, "steps", metrics={"tokens": tokens, "train/loss": loss}))
    assert "train/loss █▁" in shown(panel)


def test_advice_and_the_last_events_are_shown(panel):
    panel.report(Progress("train", 1, None, "steps"))
    told = [
        ("aurl.training.alarms", logging.WARNING, "step 9: collapse; raise free bits"),
        ("aurl.training.recording", logging.INFO, "step 10: train/loss 3"),
        ("urllib3", logging.WARNING, "not ours"),
        *(("aurl.training.loop", logging.INFO, f"checkpoint {number} saved") for number in range(5)),
    ]
    for name, level, text in told:
        panel.handle(logging.LogRecord(name, level, "", 0, text, (), None))
    assert shown(panel)[-5:-1] == ["step 9: collapse; raise free bits", *(f"checkpoint {n} saved" for n in (2, 3, 4))]


def test_markup_in_what_is_told_is_only_text(panel):
    panel.report(Progress("train", 1, None, "steps", metrics={}))
    panel.handle(logging.LogRecord("aurl.x", logging.INFO, "", 0, "[red]a[/red] [/b]", (), None))
    assert "[red]a[/red] [/b]" in shown(panel)


def test_before_anything_is_told(panel):
    assert shown(panel) == ["beginning…"]


def test_sparklines():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == BLOCKS
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([5, 5, 5], 8) == "▁▁▁"
    assert sparkline([7, 0], 8, PLAIN_BLOCKS) == "@_"
    assert len(sparkline(list(range(1000)), 48)) == 48


SCRIPT = """
import sys
from aurl.cli.app import run
run(sys.argv[1:])
"""


def train_on_a_terminal(*args):
    """What `aurl train` writes to stdout, and to the terminal that its stderr is."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", SCRIPT, "train", *TINY, "--threads", "1", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, stdin=subprocess.DEVNULL) as process:
        os.close(follower)
        said = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            said += part
        out = process.stdout.read()
    os.close(leader)
    assert process.returncode == 0, said
    return out.decode(), said.decode()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_on_a_terminal_there_is_a_panel_and_stdout_has_the_result_alone(home, environment, processes):
    environment.setenv("TERM", "xterm-256color")
    # Enough steps for the parent to hear of the last one, which workers always tell.
    args = ("--max-steps", "12", "--name", "seen", "--json", "--processes", str(processes), "--device", "cpu")
    out, said = train_on_a_terminal(*args)
    assert json.loads(out)["step"] == 12
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    last = plain[plain.rindex("╭") :]
    assert "steps 12 of 12" in last
    assert "checkpoint step-00000012 saved" in last
    assert "nats_per_token" in last
    assert "training.recording" not in plain


@pytest.mark.slow
def test_quiet_means_no_panel(home, environment):
    environment.setenv("TERM", "xterm-256color")
    out, said = train_on_a_terminal("--max-steps", "2", "--name", "quiet", "--quiet")
    assert said == ""
    assert "quiet" in out
