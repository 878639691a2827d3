"""What every command has in common, seen from a shell."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys

import pytest
import typer

import aurl as package
from aurl.cli.app import app
from aurl.errors import ExitCode

HEAVY = {"torch", "numpy", "pydantic", "rich", "accelerate", "matplotlib", "symusic", "music21"}


def commands():
    """(path, command) of every command that does something."""

    def walk(path, command):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path, command
        for name, child in (inner or {}).items():
            yield from walk(f"{path} {name}".strip(), child)

    return list(walk("", typer.main.get_command(app)))


@pytest.mark.parametrize(
    ("args", "allowed"),
    [
        (["--help"], set()),
        ([], set()),
        (["--version"], set()),
        # Typer itself checks the values of a command's options with pydantic.
        (["profile", "--help"], {"pydantic"}),
        (["train", "--help"], {"pydantic"}),
        (["generate", "-h"], {"pydantic"}),
        (["nonsense"], {"pydantic"}),
    ],
)
def test_nothing_heavy_is_imported_to_say_little(aurl, args, allowed):
    result = aurl(*args, python=["-X", "importtime"])
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert {"typer", "aurl"} <= imported
    assert not imported & (HEAVY - allowed)


def test_help_names_every_command_and_the_exit_codes(aurl):
    result = aurl("--help")
    assert (result.returncode, result.stderr) == (0, "")
    shown = re.findall(r"^  ([\w-]+)  +\S", result.stdout.partition("Commands:")[2], re.MULTILINE)
    assert shown == list(typer.main.get_command(app).commands)
    assert {"prepare", "train", "resume", "generate", "profile"} <= set(shown)
    text = " ".join(result.stdout.split())
    assert all(f"{code:d}" in text for code in ExitCode)


def test_without_arguments_help_is_shown(aurl):
    assert aurl().stdout == aurl("--help").stdout


def test_version(aurl):
    result = aurl("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"aurl {package.__version__}\n", "")


def test_console_script_is_the_module():
    [script] = [point for point in importlib.metadata.entry_points(group="console_scripts") if point.name == "aurl"]
    assert script.value == "aurl.__main__:main"


@pytest.mark.parametrize(("path", "command"), commands(), ids=[path for path, _ in commands()])
def test_every_command_has_the_shared_flags_and_explains_itself(path, command):
    options = {name for parameter in command.params for name in parameter.opts}
    assert {"--json", "--quiet", "--verbose", "-v", "--no-progress", "--help"} <= options | {"--help"}
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{path} {parameter.name}"


@pytest.mark.parametrize(
    ("args", "said", "help_of"),
    [
        (["nonsense"], "nonsense", "aurl"),
        (["trian"], "'train'", "aurl"),
        (["train", "--nope"], "--nope", "aurl train"),
        (["train", "--max-steps", "0"], "--max-steps", "aurl train"),
        (["train", "--max-steps", "many"], "valid integer", "aurl train"),
        (["prepare"], "PATH", "aurl prepare"),
        (["profile"], "Missing command", "aurl profile"),
        (["profile", "nonsense"], "nonsense", "aurl profile"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_look(aurl, args, said, help_of):
    result = aurl(*args)
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("aurl: error: ")
    assert said in result.stderr
    assert result.stderr.endswith(f"see {help_of} --help\n")


@pytest.mark.parametrize(
    ("args", "code"),
    [(["train"], ExitCode.NOT_FOUND), (["nonsense"], ExitCode.USAGE), (["resume", "x"], ExitCode.NOT_FOUND)],
)
def test_errors_are_one_json_object_too_when_that_is_asked_for(aurl, args, code):
    result = aurl(*args, "--json")
    assert result.returncode == code
    error = json.loads(result.stdout)
    assert error["schema"] == "aurl.error/1"
    assert error["exit_code"] == code
    assert error["error"] in result.stderr
    assert error["hint"] in result.stderr


@pytest.mark.parametrize(
    ("args", "step"), [(["train"], "aurl prepare"), (["resume"], "aurl train"), (["generate"], "aurl train")]
)
def test_with_nothing_there_the_next_step_is_named(aurl, args, step):
    result = aurl(*args)
    assert (result.returncode, result.stdout) == (ExitCode.NOT_FOUND, "")
    assert result.stderr.count("\n") == 1
    assert step in result.stderr


def test_names_cannot_steer_the_terminal(aurl):
    result = aurl("train", "--data", "\x1b[31mred\x07\n")
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr
    assert "red" in result.stderr


def test_reader_that_goes_away_is_no_error(environment):
    command = f"{sys.executable} -m aurl profile new - | head -c 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("#", "")


def test_stdout_that_knows_only_ascii_is_no_error(aurl, environment):
    environment.setenv("PYTHONIOENCODING", "ascii")
    result = aurl("profile", "new", "-")
    assert result.returncode == 0
    assert result.stdout


def completions(environment, *words):
    environment.setenv("_AURL_COMPLETE", "complete_bash")
    environment.setenv("COMP_WORDS", " ".join(("aurl", *words)))
    environment.setenv("COMP_CWORD", str(len(words)))
    return subprocess.run([sys.executable, "-m", "aurl"], capture_output=True, text=True, check=False).stdout.split()


def test_shell_completion_knows_commands_options_profiles_and_runs(environment, tmp_path):
    assert completions(environment, "tra") == ["train"]
    assert "--max-steps" in completions(environment, "train", "--max")
    assert completions(environment, "train", "--profile", "sm") == ["small"]
    (tmp_path / "home" / "runs" / "evening").mkdir(parents=True)
    assert completions(environment, "resume", "ev") == ["evening"]


def test_completion_can_be_shown_for_a_shell(aurl):
    result = aurl("--show-completion", "bash")
    assert "_AURL_COMPLETE" in result.stdout or os.name == "nt"
