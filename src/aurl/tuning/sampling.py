"""How Optuna chooses values and ends trials, so that it can be stopped and gone on with at any place.

Optuna's samplers draw from a generator that begins anew with each process. Here it begins anew with each trial, from
the study's seed and the trial's number: a study that was stopped makes the trials that it would have made.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from aurl.tuning.plan import Plan

RANDOM_TRIALS = 10
"""Of a TPE study, at first; a model of fewer says nothing (Optuna's default)."""
MEDIAN_TRIALS = 4
"""Trials that must be through before another is ended for being worse than their median."""
REDUCTION = 3
"""Of every so many trials Hyperband lets one go on (Li et al., JMLR 2018, use 3 or 4)."""


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says nothing inside: neither log lines nor warnings that something of it is experimental."""
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


class ByNumber(BaseSampler):
    """A sampler that begins anew with each trial.

    Args:
        make: from a seed to a sampler.
        seed: of the study.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._own = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin anew."""
        self._own = self._make(int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]))
        self._own.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is chosen together."""
        return self._own.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values that are chosen together."""
        return self._own.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One value by itself."""
        return self._own.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Take note of how it went."""
        self._own.after_trial(study, trial, state, values)


def sampler_of(plan: Plan) -> BaseSampler:
    """What chooses values; a grid's were all chosen when the study was begun."""
    if plan.method == "tpe":
        # Values that depend on each other are chosen together, in groups that apply together (Falkner et al., 2018).
        return ByNumber(
            lambda seed: TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS, multivariate=True, group=True), plan.seed
        )
    return ByNumber(lambda seed: RandomSampler(seed=seed), plan.seed)


def pruner_of(plan: Plan, *, eval_every: int, max_steps: int | None) -> BasePruner:
    """What ends trials that promise little, by the numbers that validation gives.

    Args:
        plan: of the study.
        eval_every: steps between two validations.
        max_steps: of a trial.
    """
    match plan.pruner:
        case "median":
            return MedianPruner(n_startup_trials=MEDIAN_TRIALS)
        case "hyperband":
            longest = max_steps or eval_every
            return HyperbandPruner(min(eval_every, longest), longest, reduction_factor=REDUCTION)
        case "none":
            return NopPruner()
