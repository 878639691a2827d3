"""`aurl runs`: what runs there are, what became of them, and how they differ."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aurl.cli.bars import duration
from aurl.cli.options import Force, complete_runs
from aurl.cli.output import Output, plain, table
from aurl.errors import UsageError

if TYPE_CHECKING:
    from aurl.training.comparing import Comparison
    from aurl.training.runs import RunDetails, RunSummary

MEBIBYTE, GIBIBYTE = 2**20, 2**30
DAY_SECONDS = 86_400
WHOLE_FROM = 1000
"""Numbers from here on are shown without fractions."""
SHOWN_EVENTS, SHOWN_SAMPLES = 10, 5
"""The newest; `--json` has all."""

COMPARED = ("train/", "valid/")
"""Names that are shown beside each other."""

RunName = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="Name or folder; the latest by default.", autocompletion=complete_runs),
]


def list_(output: Output) -> None:
    """List all runs, the newest first."""
    from aurl.home import Home
    from aurl.training.runs import list_runs

    folder = Home.locate().runs
    runs = list_runs(folder)
    output.result("runs.list", {"folder": folder, "runs": runs}, _list_text(runs, folder))
    if not runs:
        output.note("train one: aurl train")


list_.__name__ = "list"


def show(output: Output, run: RunName = None) -> None:
    """Show what a run is, how it stands, and what to do next."""
    from aurl.home import Home
    from aurl.training.runs import describe_run

    details = describe_run(Home.locate().run(run))
    output.result("runs.show", details, _show_text(details))
    output.note(f"next: {details.command}")


def compare(
    output: Output,
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN…", help="Names or folders.", autocompletion=complete_runs),
    ],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.html", help="Draw their curves over each other, too.")
    ] = None,
    by: Annotated[
        Literal["steps", "tokens", "seconds"], typer.Option("--by", help="What the curves are drawn over.")
    ] = "steps",
    every: Annotated[bool, typer.Option("--all", help="Show all numbers, not only those of train and valid.")] = False,
    force: Force = False,
) -> None:
    """Compare the settings and the numbers of runs."""
    from aurl.home import Home
    from aurl.training.comparing import compare, comparison_page

    _check_free(out, force=force)
    home = Home.locate()
    folders = [home.run(run) for run in runs]
    found = compare(folders)
    if out is not None:
        write_page(out, comparison_page(found, folders, by=by))
    output.result("runs.compare", {**plain(found), "page": out}, _compare_text(found, every=every))
    if out is not None:
        output.note(f"the curves are in {out}")


def dashboard(
    output: Output,
    run: RunName = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="Where it is written; into the run by default."),
    ] = None,
    force: Force = False,
) -> None:
    """Write the page with the curves, events and samples of a run."""
    from aurl.home import Home
    from aurl.training.dashboard import write_dashboard

    _check_free(out, force=force)
    folder = Home.locate().run(run)
    path = write_dashboard(folder, out)
    output.result("runs.dashboard", {"run": folder, "page": path}, str(path))


COMMANDS = (list_, show, compare, dashboard)


def _check_free(page: Path | None, *, force: bool) -> None:
    if page is not None and page.exists() and not force:
        raise UsageError(f"{page} exists already", hint="choose another --output, or add --force")


def write_page(path: Path, content: str) -> None:
    """Write an HTML page."""
    from aurl.storage import write_bytes

    write_bytes(path.expanduser(), content.encode(errors="backslashreplace"))


def _compare_text(found: "Comparison", *, every: bool) -> str:
    head = ("", *(run.name for run in found.runs))
    keys = [(key, *("–" if value is None else str(value) for value in values)) for key, values in found.profile.items()]
    faults = [f"{run.name}: {run.fault}" for run in found.runs if run.fault]
    blocks = [_block(("profile", *head[1:]), keys) or "their profiles are the same", *faults]
    shown: set[tuple[int, ...]] = set()
    for view in found.views:
        rows = [
            (name, *("–" if value is None else figure(value) for value in values))
            for name, values in sorted(view.values.items())
            if every or name.startswith(COMPARED)
        ]
        if rows and view.steps not in shown:
            blocks.append(table([(view.title, *head[1:]), ("step", *(f"{step:,}" for step in view.steps)), *rows]))
        shown.add(view.steps)
    return "\n\n".join(blocks)


def _list_text(runs: "Sequence[RunSummary]", folder: Path) -> str:
    head = ("name", "mode", "status", "step", "best", "at", "size", "age", "parent")
    rows = [
        (
            run.name,
            run.mode or "?",
            run.status,
            f"{run.step:,}",
            _best_text(run),
            f"{run.best_step:,}",
            size(run.bytes),
            age(run.created),
            run.parent or "–",
        )
        for run in runs
    ]
    faults = [f"{run.name}: {run.fault}" for run in runs if run.fault]
    shown = table([head, *rows]) if rows else f"there is no run in {folder}"
    return "\n".join([shown, *faults])


def _best_text(run: "RunSummary") -> str:
    """The best value, and of what where it is not the likelihood, for runs are listed below each other."""
    from aurl.training.ranking import CRITERION, LATENT_CRITERION

    if run.best is None:
        return "–"
    usual = run.criterion in (CRITERION, LATENT_CRITERION)
    return f"{run.best:.3f}" if usual else f"{run.best:.4g} {run.criterion}"


def _show_text(details: "RunDetails") -> str:
    checkpoints = [(kept.name, size(kept.bytes), ", ".join(kept.pointers)) for kept in details.checkpoints]
    numbers = [
        (name, figure(value), f"{details.newest_steps[name]:,}") for name, value in sorted(details.newest.items())
    ]
    advice = [(str(event.get("message", "")), str(event.get("advice", ""))) for event in details.advice]
    told = [(f"{event['step']:,}", event_text(event)) for event in details.events[-SHOWN_EVENTS:]]
    blocks = [
        table(_fact_rows(details)),
        _block(("advice", ""), advice),
        _block(("newest", "", "step"), numbers),
        _block(("checkpoint", "size", ""), checkpoints),
        _block(("step", "what happened"), told),
        _block(("sample",), [(str(path),) for path in details.samples[-SHOWN_SAMPLES:]]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _fact_rows(details: "RunDetails") -> list[tuple[str, str]]:
    run, facts = details.summary, details.facts
    best = "none" if run.best is None else f"{run.criterion} {run.best:.4f} at step {run.best_step:,}"
    status = f"{run.status} ({facts['reason']})" if facts.get("reason") and run.status != "running" else run.status
    rows = [
        ("run", str(run.folder)),
        ("status", status),
        ("fault", run.fault or facts.get("error")),
        ("mode", run.mode),
        ("step", f"{run.step:,}"),
        ("best", best),
        ("time", duration(facts["seconds"]) if isinstance(facts.get("seconds"), int | float) else None),
        ("parameters", f"{facts['parameters']:,}" if isinstance(facts.get("parameters"), int) else None),
        ("device", _device(facts)),
        ("data set", facts.get("dataset")),
        ("parent", run.parent),
        ("created", run.created),
        ("size", size(run.bytes)),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _device(facts: Mapping[str, Any]) -> str:
    told = (facts.get("device"), facts.get("precision"))
    processes = facts.get("processes")
    several = [f"{processes} processes"] if isinstance(processes, int) and processes > 1 else []
    return ", ".join([*(str(one) for one in told if one), *several])


def _block(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return table([head, *rows]) if rows else ""


def event_text(event: Mapping[str, Any]) -> str:
    """An event in one line: its kind, what was said, where training went on from, and the advice."""
    back = f"back to step {event['to_step']:,}, rates × {event.get('rate', 1.0):g}" if "to_step" in event else None
    parts = [event.get("kind"), event.get("message"), back, event.get("advice")]
    return " – ".join(str(part) for part in parts if part)


def size(value: int) -> str:
    """Bytes for people."""
    return f"{value / GIBIBYTE:.1f} GiB" if value >= GIBIBYTE else f"{value / MEBIBYTE:.1f} MiB"


def age(created: str | None) -> str:
    """How long ago that was, from ISO 8601."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(created or "")).total_seconds()
    except (ValueError, TypeError):
        return "?"
    return duration(max(0.0, seconds)) if seconds < 2 * DAY_SECONDS else f"{seconds // DAY_SECONDS:.0f} days"


def figure(value: float) -> str:
    """A number with as many digits as tell it from others."""
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= WHOLE_FROM else f"{value:.4g}"
