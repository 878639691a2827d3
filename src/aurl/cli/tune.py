"""`aurl tune`: the best values of a profile's keys, found by many short runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aurl.cli.bars import duration
from aurl.cli.dataset import as_prepared, find_dataset
from aurl.cli.options import DataName, Device, MaxSteps, Overrides, Profiles, Threads, complete_studies
from aurl.cli.output import Output, table
from aurl.cli.signals import exit_code, listening
from aurl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from aurl.home import Home
    from aurl.tuning.result import StudyResult, TrialResult

MAX_ROWS = 20
"""Trials that are shown; all are in results.json."""
StudyFile = Annotated[
    Path | None, typer.Argument(metavar="STUDY.toml", help="What to search and how; options win over it.")
]
Searches = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        metavar="KEY=RANGE",
        help="What to try: training.lr=log:1e-4:1e-2, model.dropout=0:0.3, model.d_model=64|128.",
    ),
]
Method = Annotated[
    Literal["grid", "random", "tpe"] | None, typer.Option("--method", help="How to choose; tpe by default.")
]
Pruner = Annotated[
    Literal["median", "hyperband", "none"] | None,
    typer.Option("--pruner", help="What ends trials early that promise little; median by default."),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME", help="Logged number to compare; the likelihood per note by default."),
]
Direction = Annotated[
    Literal["minimize", "maximize"] | None,
    typer.Option("--direction", help="Whether less or more of it is better; less by default."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Of the choice of values.")]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, metavar="N", help="Trials in all; 20, or the whole grid.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Trials at once, each in its own process.")]
Minutes = Annotated[
    float | None, typer.Option("--max-minutes", metavar="M", help="End after so long; the same command goes on.")
]
StudyName = Annotated[
    str | None,
    typer.Option(
        "--name",
        "-n",
        metavar="NAME",
        help="Name of the study, which goes on where it is there already.",
        autocompletion=complete_studies,
    ),
]


def tune(
    output: Output,
    file: StudyFile = None,
    *,
    search: Searches = None,
    method: Method = None,
    pruner: Pruner = None,
    metric: Metric = None,
    direction: Direction = None,
    seed: Seed = None,
    trials: Trials = None,
    max_minutes: Minutes = None,
    max_steps: MaxSteps = None,
    jobs: Jobs = 1,
    name: StudyName = None,
    profile: Profiles = None,
    overrides: Overrides = None,
    data: DataName = None,
    threads: Threads = None,
    device: Device = None,
) -> ExitCode | None:
    """Search for the values of a profile's keys that train the best model."""
    from aurl.home import Home
    from aurl.tuning.needs import check_optuna

    check_optuna()
    home = Home.locate()
    folder = home.new_study(name)
    chosen = {"method": method, "pruner": pruner, "metric": metric, "direction": direction, "seed": seed}
    bounds: dict[str, Any] = {}
    if file is not None or search:
        asked = _asked(file, search, chosen, profile, overrides)
        bounds = {key: asked.pop(key) for key in ("trials", "max_minutes", "max_steps") if key in asked}
        _begin(output, home, folder, asked, max_steps or bounds.get("max_steps"), data, device)
    else:
        given = {**chosen, "set": overrides, "max_steps": max_steps, "profile": profile, "data": data}
        _check_begun(home, name, [option for option, value in given.items() if value is not None and value != []])
    output.note(f"study: {folder.name} in {folder}")
    most, minutes = trials or bounds.get("trials"), max_minutes or bounds.get("max_minutes")
    return _show(
        output, run_study(output, folder, trials=most, max_minutes=minutes, jobs=jobs, threads=threads, device=device)
    )


def run_study(
    output: Output,
    folder: Path,
    *,
    trials: int | None = None,
    max_minutes: float | None,
    jobs: int,
    threads: int | None,
    device: str | None,
) -> "StudyResult":
    """Run the trials of a study that has been begun."""
    from aurl.cli.device import check_device
    from aurl.tuning.tune import go_on

    with output.progress() as report, listening(output.note) as interrupts:
        return go_on(
            folder,
            trials=trials,
            max_minutes=max_minutes,
            jobs=jobs,
            threads=threads,
            device=check_device(device),
            report=report,
            interrupts=interrupts,
        )


def _check_begun(home: "Home", name: str | None, given: list[str]) -> None:
    """Make sure that there is a study to go on with, and that nothing is given that would change it."""
    if name is None:
        raise UsageError("nothing is searched", hint="for example --search training.lr=log:1e-4:1e-2, or a STUDY.toml")
    home.study(name)
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} cannot change within a study", hint="begin another one")


def _asked(
    file: Path | None,
    search: list[str] | None,
    chosen: dict[str, Any],
    profile: list[str] | None,
    overrides: list[str] | None,
) -> dict[str, Any]:
    """What the file says, with what the options say over it."""
    from aurl.tuning.plan import read_study_file

    asked = {} if file is None else read_study_file(file)
    asked |= {key: value for key, value in chosen.items() if value is not None}
    for text in search or ():
        key, equals, value = text.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise UsageError(
                f"--search {text} is not of the form KEY=RANGE", hint="for example training.lr=log:1e-4:1e-2"
            )
        asked["search"] = asked.get("search", {}) | {key.strip(): value.strip()}
    near = None if file is None else file.parent
    asked["profiles"] = [*(_absolute(one, near) for one in asked.get("profiles", ())), *map(_absolute, profile or ())]
    asked["overrides"] = [*asked.get("overrides", ()), *(overrides or ())]
    return asked


def _absolute(name: str, near: Path | None = None) -> str:
    """A path that means the same wherever the study is gone on with; a name stays one."""
    is_path = name.endswith(".toml") or "/" in name
    return str(((near or Path.cwd()) / Path(name).expanduser()).resolve()) if is_path else name


def _begin(
    output: Output,
    home: "Home",
    folder: Path,
    asked: dict[str, Any],
    max_steps: int | None,
    data: str | None,
    device: str | None,
) -> None:
    from aurl.cli.device import default_size
    from aurl.profile import load_profile
    from aurl.tuning.plan import checked
    from aurl.tuning.tune import begin

    dataset = find_dataset(output, home, data or asked.get("dataset"))
    plan = checked({**asked, "dataset": str(dataset)}, "the study")
    flags = {"training.max_steps": max_steps}
    base = load_profile(plan.profiles, plan.overrides, flags=flags, default_size=default_size(device))
    if base.default_size:
        output.note(f"size: {base.default_size}, which suits this device; --profile chooses another")
        plan = checked({**asked, "dataset": str(dataset), "profiles": [base.default_size, *plan.profiles]}, "the study")
    begin(folder, plan, as_prepared(output, base, dataset))


def _show(output: Output, result: "StudyResult") -> ExitCode | None:
    output.result("tune", result, _text(result))
    if result.signal:
        output.note(f"go on with: aurl tune --name {result.folder.name}")
        return exit_code(result.signal)
    if result.best_profile is not None:
        output.note(f"next: aurl train --profile {result.best_profile}")
    return None


def _text(result: "StudyResult") -> str:
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.values))
    sign = 1 if result.direction == "minimize" else -1
    known = {"complete": 0, "pruned": 1}

    def rank(trial: "TrialResult") -> tuple[int, float]:
        return known.get(trial.state, 2), sign * (trial.value or 0.0)

    shown = sorted(result.trials, key=rank)
    rows = [_row(trial, keys) for trial in shown[:MAX_ROWS]]
    heading = ("trial", "state", result.metric or "nats per note", *keys, "steps", "time", "")
    left = len(shown) - MAX_ROWS
    lines = [table([heading, *rows])] if rows else []
    lines += [f"and {left:,} more in {result.folder / 'results.json'}"] if left > 0 else []
    lines += [f"best profile: {result.best_profile}"] if result.best_profile else ["no trial is complete"]
    return "\n".join(lines)


def _row(trial: "TrialResult", keys: list[str]) -> tuple[str, ...]:
    values = (trial.values.get(key, "") for key in keys)
    cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
    value = "" if trial.value is None else f"{trial.value:.4f}"
    return (str(trial.number), trial.state, value, *cells, f"{trial.step:,}", duration(trial.seconds), trial.reason)
