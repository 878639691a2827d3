"""One of several processes of a study: `python -m aurl.tuning.job`, started and spoken to by `jobs`."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aurl.errors import AurlError, ExitCode
from aurl.progress import Interrupts, silent
from aurl.tuning.ledger import Ledger
from aurl.tuning.plan import Plan
from aurl.tuning.sampling import quiet
from aurl.tuning.work import Limits, work


def main() -> None:
    """Run trials as the parent says, tell it how that ended, and end.

    An error that aurl knows is told; any other ends the process with its traceback on stderr, which the parent keeps.
    """
    news = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed goes to stderr
    task, interrupts = json.loads(sys.stdin.readline()), Interrupts()
    threading.Thread(target=_listen, args=(interrupts,), daemon=True).start()
    try:
        told: dict[str, Any] = {"end": _work(task, interrupts)}
    except AurlError as error:
        told = {"error": {"message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}}
    news.write(json.dumps(told) + "\n")
    news.flush()
    os._exit(ExitCode.OK if "end" in told else ExitCode.FAILURE)  # the thread that listens would hold up a normal exit


def _listen(interrupts: Interrupts) -> None:
    """Hear requests; when the parent is gone, this process ends, and its trial is gone on with another time."""
    for line in sys.stdin:
        interrupts.stop = json.loads(line)["stop"]
    os._exit(ExitCode.FAILURE)


def _work(task: dict[str, Any], interrupts: Interrupts) -> str:
    folder = Path(task["study"])
    deadline = None if task["seconds"] is None else time.monotonic() + task["seconds"]
    limits = Limits(task["trials"], deadline, task["threads"], task["device"])
    with quiet():
        ledger = Ledger.open(folder, *Plan.read(folder), sitting=task["sitting"])
        return work(ledger, limits, task["begun"], silent, interrupts).value


if __name__ == "__main__":
    main()
