"""Failures become one line, a traceback in a file, and the documented exit code."""

import errno
import json
import logging
import signal

import pytest

from aurl.cli.app import run
from aurl.cli.command import with_output
from aurl.cli.logs import log_file
from aurl.errors import AurlError, DamagedError, ExitCode, LockedError, NotFoundError, UsageError
from aurl.profile import Fault, ProfileError


@pytest.fixture(autouse=True)
def restored(environment):
    """Whatever the command line sets up for its process is undone."""
    handler, handlers = signal.getsignal(signal.SIGTERM), logging.getLogger().handlers
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers = handlers
    logging.getLogger("aurl").setLevel(logging.NOTSET)


def call(action, **flags):
    """Exit code of a command that does `action`."""

    def command(output):
        """Do it."""
        return action(output)

    return with_output(command)(**({"as_json": False, "quiet": False, "verbose": 0, "no_progress": False} | flags))


def raising(error):
    def action(output):
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AurlError("it failed", hint="do this"), 1),
        (UsageError("wrong", hint="do this"), 2),
        (NotFoundError("nothing", hint="do this"), 10),
        (LockedError("taken", hint="do this"), 11),
        (DamagedError("broken", hint="do this"), 12),
        (ProfileError([Fault("a.b", "unknown key")]), 2),
    ],
)
def test_known_errors_are_one_line_and_their_own_code(capsys, error, code):
    assert call(raising(error)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"aurl: error: {error.message}; {error.hint}\n"
    assert type(error).__name__ in log_file().read_text()


def test_several_faults_have_a_line_each(capsys):
    call(raising(ProfileError([Fault("a.b", "unknown key"), Fault("c", "is required")])))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "aurl: error: 2 faults in the profile:"
    assert lines[1:3] == ["  a.b: unknown key", "  c: is required"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/shard"), "/x/shard: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
        (MemoryError(), "not enough memory"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_unexpected_errors_are_one_line_that_says_where_the_traceback_is(capsys, error, said):
    assert call(raising(error)) == ExitCode.FAILURE
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert str(log_file()) in err
    log = log_file().read_text()
    assert "Traceback" in log
    assert type(error).__name__ in log


def test_log_that_cannot_be_written_does_not_hide_the_error(capsys, environment, tmp_path):
    (tmp_path / "file").write_text("")
    environment.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert call(raising(ValueError("reason"))) == ExitCode.FAILURE
    err = capsys.readouterr().err
    assert "ValueError: reason" in err
    assert "-v" in err


def test_log_does_not_grow_without_bound(environment):
    for _ in range(30):
        call(raising(ValueError("x" * 100_000)))
    sizes = [path.stat().st_size for path in log_file().parent.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 4 * 2**20


def test_verbose_shows_the_traceback(capsys):
    call(raising(ValueError("reason")), verbose=1)
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_is_told_in_a_line(capsys):
    assert call(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "aurl: interrupted\n"


def test_error_is_a_json_object_where_that_is_asked_for(capsys):
    assert call(raising(DamagedError("broken", hint="do this")), as_json=True) == 12
    assert json.loads(capsys.readouterr().out) == {
        "schema": "aurl.error/1",
        "error": "broken",
        "hint": "do this",
        "exit_code": 12,
    }


def test_quiet_silences_notes_and_warnings_but_not_errors(capsys):
    def action(output):
        output.note("a note")
        logging.getLogger("aurl.somewhere").warning("a warning")
        output.result("x", {}, "the result")
        raise AurlError("the error")

    call(action, quiet=True)
    assert capsys.readouterr() == ("the result\n", "aurl: error: the error\n")


@pytest.mark.parametrize(
    ("verbose", "shown"), [(0, {"warning"}), (1, {"warning", "info"}), (2, {"warning", "info", "debug"})]
)
def test_verbosity_decides_which_logs_are_shown(capsys, verbose, shown):
    def action(output):
        for level in ("debug", "info", "warning"):
            getattr(logging.getLogger("aurl.somewhere"), level)("a %s record", level)
            getattr(logging.getLogger("others"), level)("foreign %s", level)

    call(action, verbose=verbose)
    err = capsys.readouterr().err
    assert {level for level in ("debug", "info", "warning") if f"a {level} record" in err} == shown
    assert ("foreign warning" in err) == (verbose > 0)


def test_process_exits_with_the_code(capsys):
    with pytest.raises(SystemExit) as caught:
        run(["profile", "show", "--profile", "nobody"])
    assert caught.value.code == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("code", "printed"), [(ExitCode.USAGE, False), (ExitCode.NOT_FOUND, False), (ExitCode.FAILURE, True)]
)
def test_other_processes_of_a_run_say_only_what_the_first_does_not(capsys, environment, code, printed):
    environment.setenv("RANK", "1")

    class Error(AurlError):
        exit_code = code

    def action(output):
        output.note("a note")
        output.result("x", {}, "the result")
        raise Error("reason")

    assert call(action) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == ("aurl [process 1]: error: reason\n" if printed else "")
