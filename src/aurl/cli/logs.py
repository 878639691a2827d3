"""What the library logs, on stderr as far as it is wanted; tracebacks in a file."""

import logging
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

LIBRARY = "aurl"
MAX_LOG_BYTES = 2**20
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
"""What is shown without -v, with one, and with two."""


class _Lines(logging.Handler):
    """Hands each record on as one line; other packages' records only from -v on."""

    def __init__(self, write: Callable[[str], None], verbosity: int) -> None:
        super().__init__(LEVELS[min(verbosity, len(LEVELS) - 1)])
        self._write = write
        self._all = verbosity > 0

    def emit(self, record: logging.LogRecord) -> None:
        if self._all or record.name.partition(".")[0] == LIBRARY:
            level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
            self._write(f"{LIBRARY}: {level}{record.getMessage()}")


def show_logs(write: Callable[[str], None], *, verbosity: int, quiet: bool) -> None:
    """Show the library's warnings, with -v more; quiet: errors only. Python's warnings count as log records."""
    handler = _Lines(write, verbosity)
    if quiet:
        handler.setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers = [handler]
    logging.getLogger(LIBRARY).setLevel(handler.level)


def log_file() -> Path:
    """Where tracebacks go."""
    import platformdirs

    return platformdirs.user_log_path(LIBRARY) / "aurl.log"


def keep_traceback(error: BaseException) -> Path | None:
    """Append the traceback to the log file; None where that cannot be written."""
    path = log_file()
    text = "".join(traceback.format_exception(error))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"[{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}] {text}\n")
    except OSError:
        return None
    return path
