"""What a study has found, and its best values as a profile."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from aurl.profile.merge import nested
from aurl.profile.toml import format_key, format_string, format_value, parse_value
from aurl.storage import write_json, write_text
from aurl.training.run import Run
from aurl.tuning.ledger import REASON, Ledger
from aurl.tuning.plan import Plan
from aurl.tuning.work import End

BEST_NAME, RESULTS_NAME = "best.toml", "results.json"
NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "begun",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Args:
        number: from 0 on.
        state: "complete", "pruned", "failed", or "begun" where it is not over.
        value: of the metric, the best of its validations; of a pruned one the last; None where there is none.
        values: dotted key → value.
        step: updates done.
        seconds: of training.
        reason: why it failed.
        run: folder of its run.
    """

    number: int
    state: str
    value: float | None
    values: dict[str, Any]
    step: int
    seconds: float
    reason: str
    run: Path


@dataclass(frozen=True)
class StudyResult:
    """A study after a sitting.

    Args:
        folder: everything about it.
        metric: name of the number that is compared; "" for that of each trial's mode.
        direction: whether less or more of it is better.
        reason: what ended the sitting, a value of `End`.
        signal: the signal that did, 0 without.
        trials: that have been begun, by number.
        best: number of the best, None where none is complete.
        best_profile: its values as a profile.
    """

    folder: Path
    metric: str
    direction: str
    reason: str
    signal: int
    trials: tuple[TrialResult, ...]
    best: int | None
    best_profile: Path | None


def conclude(ledger: Ledger, end: End, signal: int) -> StudyResult:
    """What is known now; table and best profile are written into the study's folder."""
    trials = tuple(_result(ledger, trial) for trial in ledger.trials() if trial.state is not TrialState.WAITING)
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    sign = 1 if ledger.plan.direction == "minimize" else -1
    best = min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)
    path = None
    if best is not None:
        path = ledger.folder / BEST_NAME
        write_text(path, best_toml(ledger.plan, best, ledger.folder.name))
    rows = [{**_plain(trial), "run": trial.run.name} for trial in trials]
    write_json(ledger.folder / RESULTS_NAME, {"trials": rows, "best": None if best is None else best.number})
    return StudyResult(
        ledger.folder,
        ledger.plan.metric,
        ledger.plan.direction,
        end.value,
        signal,
        trials,
        None if best is None else best.number,
        path,
    )


def _plain(trial: TrialResult) -> dict[str, Any]:
    return {name: getattr(trial, name) for name in ("number", "state", "value", "values", "step", "seconds", "reason")}


def _result(ledger: Ledger, trial: FrozenTrial) -> TrialResult:
    folder = ledger.run_of(trial.number)
    facts = Run(folder).facts() if (folder / "run.json").is_file() else {}
    return TrialResult(
        trial.number,
        NAMES[trial.state],
        trial.value if trial.state is not TrialState.FAIL else None,
        ledger.values(trial),
        int(facts.get("step", 0)),
        float(facts.get("seconds", 0.0)),
        str(trial.user_attrs.get(REASON, "")),
        folder,
    )


def best_toml(plan: Plan, best: TrialResult, study: str) -> str:
    """A profile that extends the study's own and has the best values."""
    lines = [
        f"# Trial {best.number} of the study {study}: {plan.metric or 'likelihood per note'} {best.value:.6g}.",
        f"description = {format_string(f'best of the study {study}')}",
        *([f"extends = {format_value(list(plan.profiles))}"] if plan.profiles else []),
    ]
    table: dict[str, Any] = {}
    for override in plan.overrides:
        key, _, text = override.partition("=")
        _lay(table, nested(key.strip(), parse_value(text.strip())))
    for key, value in best.values.items():
        _lay(table, nested(key, value))
    for section, keys in table.items():
        lines += ["", f"[{format_key(section)}]", *(f"{format_key(key)} = {format_value(keys[key])}" for key in keys)]
    return "\n".join(lines) + "\n"


def _lay(into: dict[str, Any], table: Mapping[str, Any]) -> None:
    """Tables merge, everything else replaces; a component of another kind replaces, too."""
    for key, value in table.items():
        old = into.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict) and value.get("kind") in (None, old.get("kind")):
            _lay(old, value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
