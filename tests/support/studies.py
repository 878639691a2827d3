"""Tiny studies."""

from tests.support.training import small_profile

from aurl.tuning.plan import checked

RATES = {"training.lr": "log:1e-4:1e-1"}


def base_profile(**training):
    """Trials of it take half a second."""
    return small_profile(**{"max_steps": 6, "eval_every": 2, "checkpoint_every": 2, "warmup_steps": 2, **training})


def plan_of(dataset, search=None, **options):
    """Random trials, none of which is ended early, unless `options` say otherwise."""
    given = {"method": "random", "pruner": "none", "search": search or RATES, "dataset": str(dataset)}
    return checked({**given, **options}, "test")


def tried(result):
    """Values and outcome of each trial."""
    return [(trial.number, trial.state, trial.value, trial.values) for trial in result.trials]
