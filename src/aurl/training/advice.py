"""What the numbers of a run say to who can read them, in words, with what to do next.

A rule is a pure function of the history of the log; it says what is wrong now, or nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from aurl.tokens.vocabulary import VOCABULARY_SIZE
from aurl.training.ranking import CRITERION, LATENT_CRITERION

RECENT = 8
"""Lines of training that a rule looks at: one alone may be chance."""
UNUSED_NATS = 0.02
"""Nats per target that other music's latents must cost, or they are not heard. Runs that learn have 0.1 and more."""
UNTOLD_NATS = 0.01
"""Nats per target of KL divergence below which latents tell nothing."""
FEW_ACTIVE = 0.1
"""Share of active units below which, on every level, latents say the same of all music."""
WINS, LOSES = 0.9, 0.55
"""Share of scores on the right side from which on one side has nothing to learn; 0.5 is chance."""
ALWAYS, LONG = 0.99, 100
"""Share of updates that are clipped, over so many lines: at first most are."""
GUESSING = math.log(VOCABULARY_SIZE)
"""Nats per target of who takes every id for as likely as any other; wide models begin above it, for a few updates."""
STILL = 4
"""Lines in a row with the very same weights."""
VALIDATIONS_UNUSED = 4
"""Validations in a row in which latents are not used: they need time to be heard."""
RESTLESS = 0.5
"""Standard deviation of the loss from update to update, as a share of the loss."""
RISES = 1.01
"""Valid loss over its best from which on it has risen."""
VALIDATIONS_WORSE = 3
SLOW, PACES = 0.6, 24
"""Share of the usual tokens per second, and lines that make them usual."""
KEPT = 4096
"""Values of each number that are kept: more than any rule looks back."""
FLAT, FLAT_VALIDATIONS = 0.999, 6
"""A best validation of the newest ones that is not below this share of the best before them is a plateau."""


@dataclass(frozen=True)
class Advice:
    """What is wrong with a run.

    Args:
        name: of the rule.
        text: what was seen.
        next_step: what to do about it.
    """

    name: str
    text: str
    next_step: str


@dataclass(frozen=True)
class History:
    """The numbers of a run by name, oldest first.

    Args:
        values: name → (step, value) of every line that has it.
    """

    values: Mapping[str, Sequence[tuple[int, float]]]

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> "History":
        """The history that lines of `metrics.jsonl` tell; what is not a number is left out."""
        history = cls({})
        for record in records:
            history.add(int(record["step"]), record)
        return history

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take one line more."""
        values: dict[str, list[tuple[int, float]]] = self.values  # type: ignore[assignment]
        for name, value in metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                kept = values.setdefault(name, [])
                kept.append((step, float(value)))
                if len(kept) > 2 * KEPT:
                    del kept[:-KEPT]

    def last(self, name: str, count: int) -> list[float]:
        """The newest `count` values, empty where there are not so many."""
        values = [value for _, value in self.values.get(name, ())[-count:]]
        return values if len(values) == count else []

    def steps(self, name: str) -> Sequence[tuple[int, float]]:
        """All (step, value) of a number."""
        return self.values.get(name, ())

    @property
    def criterion(self) -> Sequence[tuple[int, float]]:
        """Validations: nats per note, of the bound where there are latents."""
        return self.steps(LATENT_CRITERION) or self.steps(CRITERION)


Rule = Callable[[History], Advice | None]
RULES: dict[str, Rule] = {}
"""Name → rule."""


def rule(function: Rule) -> Rule:
    """Add a rule under its own name."""
    RULES[function.__name__] = function
    return function


def advise(history: History) -> dict[str, Advice]:
    """Everything that is wrong now, by the name of its rule."""
    found = {name: says(history) for name, says in RULES.items()}
    return {name: advice for name, advice in found.items() if advice is not None}


def _unused(history: History) -> bool:
    cost = history.last("valid/shuffled_cost_all", VALIDATIONS_UNUSED)
    return bool(cost) and max(cost) < UNUSED_NATS


def _told(history: History) -> tuple[float, float]:
    """KL divergence per token, and the largest share of active units of any level, in the newest validation."""
    active = [history.last(name, 1) for name in history.values if name.startswith("valid/active_units_")]
    kl = history.last("valid/kl_per_token", 1)
    return (kl or [0.0])[0], max((share for shares in active for share in shares), default=0.0)


@rule
def posterior_collapse(history: History) -> Advice | None:
    """Latents tell nothing, and are not heard (Bowman et al., CoNLL 2016)."""
    kl, active = _told(history)
    if not _unused(history) or not (kl < UNTOLD_NATS or active < FEW_ACTIVE):
        return None
    return Advice(
        "posterior_collapse",
        f"the posterior has collapsed: {kl:.2g} nats of KL per token, {active:.0%} active units,"
        " and latents of other music do as well",
        "raise loss.free_bits_* or lower loss.beta, keep it low for longer (loss.kl_schedule), or let latents tell"
        " the music by themselves (loss.echo, loss.bag)",
    )


@rule
def unheard_latents(history: History) -> Advice | None:
    """Latents tell something, and the decoder does not hear it."""
    kl, active = _told(history)
    if not _unused(history) or kl < UNTOLD_NATS or active < FEW_ACTIVE:
        return None
    return Advice(
        "unheard_latents",
        f"the decoder does not hear its latents: they cost {kl:.2g} nats of KL per token, and those of other music do"
        " as well",
        "raise latent.word_dropout so that it needs them, or loss.echo so that they tell more",
    )


@rule
def discriminator_wins(history: History) -> Advice | None:
    """It tells real from made so well that the generator has no gradient to learn from."""
    accuracy = history.last("train/discriminator_accuracy", RECENT)
    if not accuracy or fmean(accuracy) < WINS:
        return None
    return Advice(
        "discriminator_wins",
        f"the discriminator is right {fmean(accuracy):.0%} of the time: what it says no longer teaches the generator",
        "lower discriminator.lr, let it join later (discriminator.start), or make it smaller",
    )


@rule
def discriminator_loses(history: History) -> Advice | None:
    """It does no better than chance, so that it teaches nothing."""
    accuracy = history.last("train/discriminator_accuracy", RECENT)
    if not accuracy or fmean(accuracy) >= LOSES or max(accuracy) == 0:
        return None
    return Advice(
        "discriminator_loses",
        f"the discriminator is right {fmean(accuracy):.0%} of the time, as if it guessed",
        "raise discriminator.lr, or make it larger (discriminator.width, discriminator.depth)",
    )


@rule
def worse_than_guessing(history: History) -> Advice | None:
    """What was learned is worth less than nothing, and steady: no spike would tell."""
    nats = history.last("train/nats_per_token", RECENT)
    if not nats or min(nats) < GUESSING:
        return None
    return Advice(
        "worse_than_guessing",
        f"{fmean(nats):.3g} nats per token, where knowing nothing costs {GUESSING:.2f}",
        "lower training.lr, or lengthen training.warmup_steps, and start again: such weights are lost",
    )


@rule
def standing_still(history: History) -> Advice | None:
    """Nothing is learned any more."""
    norms = history.last("weight_norm", STILL)
    if not norms or len(set(norms)) > 1:
        return None
    return Advice(
        "standing_still",
        f"the weights have not changed in {STILL} lines: their norm is {norms[0]:.9g} to the last digit",
        "look whether training.lr is too low for the precision, or something keeps the optimizer from its steps",
    )


@rule
def always_clipped(history: History) -> Advice | None:
    """Every gradient is cut, so that the learning rate is another one than was asked for."""
    clipped = history.last("clipped", LONG)
    if not clipped or fmean(clipped) < ALWAYS:
        return None
    norm = median(history.last("gradient_norm", RECENT) or [0.0])
    return Advice(
        "always_clipped",
        f"every gradient is clipped, its norm is about {norm:.3g}: all updates have the same length",
        "raise training.clipping.max_norm, or lower training.lr if the loss is restless",
    )


@rule
def restless_loss(history: History) -> Advice | None:
    """The loss is another one in every update."""
    variance, loss = history.last("loss_variance", RECENT), history.last("train/loss", RECENT)
    if not variance or not loss or median(loss) <= 0 or median(variance) ** 0.5 < RESTLESS * median(loss):
        return None
    return Advice(
        "restless_loss",
        f"the loss moves by {median(variance) ** 0.5 / median(loss):.0%} from update to update",
        "raise data.batch_size or training.accumulation, or lower training.lr",
    )


@rule
def overfitting(history: History) -> Advice | None:
    """What is trained becomes better, what is not becomes worse."""
    valid = history.criterion
    if len(valid) <= VALIDATIONS_WORSE:
        return None
    best_step, best = min(valid, key=lambda one: one[1])
    worse = [value for _, value in valid[-VALIDATIONS_WORSE:]]
    train = history.steps("train/nats_per_token")
    after = [value for step, value in train if step > best_step]
    before = [value for step, value in train if step <= best_step][-RECENT:]
    if best <= 0 or min(worse) < RISES * best or not before or len(after) < 2:
        return None
    if median(after[-RECENT:]) >= median(before):
        return None
    return Advice(
        "overfitting",
        f"validation has risen from {best:.4g} (step {best_step:,}) to {worse[-1]:.4g} while the training loss fell",
        "use data.augment, raise model.dropout or training.weight_decay, take a smaller model, or stop here: the best"
        " checkpoint is kept",
    )


@rule
def slower(history: History) -> Advice | None:
    """Fewer tokens per second than before."""
    paces = [value for _, value in history.steps("tokens_per_second")]
    if len(paces) < PACES + RECENT:
        return None
    now, usual = median(paces[-RECENT:]), median(paces[-RECENT - PACES : -RECENT])
    if now >= SLOW * usual:
        return None
    return Advice(
        "slower",
        f"{now:,.0f} tokens per second, {usual:,.0f} before",
        "look for other programs on this machine, a device that is too hot, or memory that is swapped",
    )


@rule
def plateau(history: History) -> Advice | None:
    """Validation does not become better any more."""
    valid = [value for _, value in history.criterion]
    if len(valid) < 2 * FLAT_VALIDATIONS:
        return None
    before, now = min(valid[:-FLAT_VALIDATIONS]), min(valid[-FLAT_VALIDATIONS:])
    if before <= 0 or now < FLAT * before:
        return None
    return Advice(
        "plateau",
        f"{FLAT_VALIDATIONS} validations have not improved on {before:.4g} by {1 - FLAT:.1%}",
        "let the rate fall (training.schedule), take a larger model or more music, or stop here",
    )
