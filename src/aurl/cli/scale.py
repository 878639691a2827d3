"""`aurl scale`: how the loss falls with size and music, and which size is best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aurl.cli.dataset import as_prepared, find_dataset
from aurl.cli.options import DataName, Device, Force, Overrides, Profiles, Threads, complete_runs
from aurl.cli.output import Output, table
from aurl.cli.signals import exit_code
from aurl.cli.tune import Jobs, Minutes, StudyName, run_study
from aurl.errors import ExitCode, NotFoundError, UsageError

if TYPE_CHECKING:
    from aurl.home import Home
    from aurl.tuning.result import StudyResult
    from aurl.tuning.scaling import Scaling
    from aurl.tuning.scaling.forecast import Best, Forecast

Runs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN|STUDY]…", help="Finished runs, and studies of such.", autocompletion=complete_runs),
]
Sizes = Annotated[
    list[str] | None,
    typer.Option("--size", metavar="KEY=A|B|C", help="Train models of these sizes: model.d_model=32|64|128."),
]
Steps = Annotated[
    str | None, typer.Option("--steps", metavar="A|B|C", help="Train each size for these numbers of steps.")
]
Budgets = Annotated[
    list[float] | None, typer.Option("--budget", metavar="FLOPS", help="Tell the best size for so much compute.")
]
Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="The loss; the likelihood per token by default.")
]
Picture = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE.png", help="The picture; numbers go to FILE.json beside it.")
]
STEPS = "training.max_steps"
SYMBOLS = {"floor": "E", "size_factor": "A", "size_exponent": "alpha", "data_factor": "B", "data_exponent": "beta"}


def scale(
    output: Output,
    runs: Runs = None,
    *,
    size: Sizes = None,
    steps: Steps = None,
    budget: Budgets = None,
    metric: Metric = None,
    to: Picture = Path("scaling.png"),
    name: StudyName = None,
    profile: Profiles = None,
    overrides: Overrides = None,
    data: DataName = None,
    max_minutes: Minutes = None,
    jobs: Jobs = 1,
    threads: Threads = None,
    device: Device = None,
    force: Force = False,
) -> ExitCode | None:
    """Fit a scaling law to models of several sizes, and foretell larger ones."""
    from aurl.home import Home

    _check(runs, size, steps, to, budget, force=force)
    home, folders = Home.locate(), []
    for named in runs or ():
        folders += _folders(home, named)
    if size:
        study = home.new_study(name)
        _begin(output, home, study, size, str(steps), profile, overrides, data, device)
        result = run_study(output, study, max_minutes=max_minutes, jobs=jobs, threads=threads, device=device)
        _warn_of_failures(output, result)
        if result.signal or result.reason == "max_minutes":
            output.note("not all models are trained; the same command goes on")
            return exit_code(result.signal) if result.signal else ExitCode.FAILURE
        folders += _folders(home, str(study))
    found = _fit(folders, metric or "", budget or ())
    _show(output, found, to)
    return None


def _check(
    runs: list[str] | None,
    size: list[str] | None,
    steps: str | None,
    to: Path,
    budget: list[float] | None,
    *,
    force: bool,
) -> None:
    if not runs and not size:
        raise UsageError(
            "there is nothing to fit", hint="name finished runs, or train some: --size model.d_model=32|64|128"
        )
    if bool(size) != bool(steps):
        raise UsageError("--size and --steps belong together", hint="for example --steps 100|200|400")
    if to.suffix.lower() != ".png":
        raise UsageError(f"{to} is no name of a picture", hint="let it end in .png")
    if to.exists() and not force:
        raise UsageError(f"{to} exists already", hint="choose another --output, or add --force")
    if any(not 0 < flops < float("inf") for flops in budget or ()):
        raise UsageError("a budget is a number above 0", hint="for example --budget 1e15")


def _folders(home: "Home", named: str) -> list[Path]:
    """A run, or the runs of a study."""
    try:
        study = home.study(named)
    except NotFoundError:
        return [home.run(named)]
    return sorted(path.parent for path in study.glob("trials/*/run.json"))


def _begin(
    output: Output,
    home: "Home",
    study: Path,
    size: list[str],
    steps: str,
    profile: list[str] | None,
    overrides: list[str] | None,
    data: str | None,
    device: str | None,
) -> None:
    """A grid of all sizes and lengths."""
    from aurl.cli.device import default_size
    from aurl.profile import load_profile
    from aurl.tuning.needs import check_optuna

    check_optuna()
    from aurl.tuning.plan import checked
    from aurl.tuning.tune import begin

    dataset = find_dataset(output, home, data)
    base = load_profile(profile or (), overrides or (), default_size=default_size(device))
    named = [base.default_size] if base.default_size else []
    search: dict[str, Any] = {}
    for text in size:
        key, _, value = text.partition("=")
        search[key.strip()] = value.strip()
    given = {"search": {**search, STEPS: steps}, "method": "grid", "pruner": "none", "dataset": str(dataset)}
    given |= {"profiles": [*named, *(profile or ())], "overrides": list(overrides or ())}
    begin(study, checked(given, "the models to train"), as_prepared(output, base, dataset))
    output.note(f"study: {study.name} in {study}")


def _warn_of_failures(output: Output, result: "StudyResult") -> None:
    for trial in result.trials:
        if trial.state == "failed":
            output.line(f"aurl: warning: model {trial.number} was passed over: {trial.reason}")


def _fit(folders: list[Path], metric: str, budgets: Any) -> "Scaling":
    from aurl.tuning.scaling import fit_law, foretell, measure

    measured = measure(list(dict.fromkeys(folders)), metric)
    return foretell(fit_law(measured.points), measured.points, measured.metric, measured.skipped, budgets)


def _show(output: Output, found: "Scaling", to: Path) -> None:
    from aurl.cli.output import plain
    from aurl.storage import write_bytes, write_json
    from aurl.tuning.scaling import picture

    numbers = to.with_suffix(".json")
    write_json(numbers, plain(found))
    write_bytes(to, picture(found))
    for name, why in found.skipped.items():
        output.line(f"aurl: warning: {name} was passed over: {why}")
    output.result("scale", {"scaling": found, "picture": to, "numbers": numbers}, _text(found, to))


def _text(found: "Scaling", to: Path) -> str:
    def times(one: "Forecast | Best") -> str:
        return f"{one.beyond:.3g}"

    law = [
        (f"{SYMBOLS[name]} = {getattr(found.law, name):.4g}", f"({low:.4g} to {high:.4g})")
        for name, (low, high) in found.intervals.items()
    ]
    runs = [
        (p.name, f"{p.parameters:,}", f"{p.tokens:,}", f"{p.loss:.4f}", f"{found.law.loss(p.parameters, p.tokens):.4f}")
        for p in found.points
    ]
    larger = [
        (f"{f.parameters:.3g}", f"{f.tokens:.3g}", f"{f.loss:.4f}", _between(f.interval), times(f))
        for f in found.forecasts
    ]
    best = [
        (
            f"{b.flops:.3g}",
            f"{b.parameters:.3g}",
            f"{b.tokens:.3g}",
            f"{b.loss:.4f}",
            _between(b.interval),
            f"{b.beyond:.3g}",
        )
        for b in found.best
    ]
    return "\n".join(
        (
            f"{found.metric} = E + A / parameters^alpha + B / tokens^beta, within {found.spread:.2%}",
            table(law, indent="  "),
            table([("run", "parameters", "tokens", "loss", "the law's"), *runs]),
            "larger models (× is compute beyond the largest run)",
            table([("parameters", "tokens", "loss", "", "×"), *larger], indent="  "),
            "the best size for an amount of compute",
            table([("FLOPs", "parameters", "tokens", "loss", "", "×"), *best], indent="  "),
            f"picture: {to}",
        )
    )


def _between(interval: tuple[float, float]) -> str:
    return f"({interval[0]:.4f} to {interval[1]:.4f})"
