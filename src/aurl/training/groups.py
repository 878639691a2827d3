"""Which numbers of a run are shown together, by their names."""

import re
from collections.abc import Iterable, Sequence

SIDES = ("train/", "valid/")
FAMILIES = (
    re.compile(r"(active_units|shuffled_cost|bag|nll)_\w+"),
    re.compile(r"(adversarial|discriminator|feature_matching)_(?:scale_\d+|music|latent)"),
    re.compile(r"sample/\w+_(overlap)"),
)
"""Names that are read beside each other: of levels, of kinds of ids, of what a discriminator or a metric looks at."""
GROUPS = (
    ("Likelihood", r"(train|valid)/(nats|elbo)_per_\w+|train/loss|.*reconstruction.*|.*perplexity.*"),
    ("KL divergence", r".*\bkl_\w+|beta|.*free_bits.*"),
    ("Latents", r".*(active_units|shuffled_cost)_\w+|word_dropout|level_dropout"),
    ("Adversary", r"(train/)?(adversarial|feature_matching|r1|gradient_penalty|discriminator)\w*|\w+_skipped"),
    ("Terms", r"train/.*|weight/.*"),
    ("Samples", r"samples?/.*"),
    ("Gradients and rates", r"(gradient|clip|loss_variance|weight_norm|broken_updates)\w*|lr"),
    ("Pace and memory", r"tokens_per_second|share_of_peak|\w+_mib"),
)
"""Title and names, the first that fits; what fits nowhere is in `REST`."""
REST = "Other numbers"
COUNTERS = "Course"
COUNTED = frozenset(
    {
        "epoch",
        "batch",
        "stage",
        "tokens",
        "windows",
        "augmented",
        "seconds",
        "eta_seconds",
        "evaluations_since_best",
        "valid/tokens",
        "valid/notes",
    }
)
"""How far a run is; drawn last."""
_ORDER = [*(title for title, _ in GROUPS), REST, COUNTERS]
_RULES = [(title, re.compile(pattern)) for title, pattern in GROUPS]


def group_of(name: str) -> str:
    """The title under which a number is shown."""
    if name in COUNTED:
        return COUNTERS
    return next((title for title, rule in _RULES if rule.fullmatch(name)), REST)


def chart_of(name: str) -> str:
    """What all names of one chart have in common: train and valid of one thing, or the levels of a family."""
    side = next((side for side in SIDES if name.startswith(side)), "")
    rest = name.removeprefix(side)
    found = next((match for family in FAMILIES if (match := family.fullmatch(rest))), None)
    if found is not None:
        return f"{found[1]} of each"
    return f"{rest} of train and valid" if side else name


def charts(names: Iterable[str]) -> list[tuple[str, list[list[str]]]]:
    """Title → names of each chart, in the order in which they are shown; every name is in one chart."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        found.setdefault(group_of(name), {}).setdefault(chart_of(name), []).append(name)
    return [(title, list(found[title].values())) for title in _ORDER if title in found]


def colour_of(name: str, names: Sequence[str]) -> int:
    """Train is always of one colour and valid of another; where one side has several curves, they are told apart."""
    alike = [other for other in names if _side(other) == _side(name)]
    return _side(name) if len(alike) == 1 else names.index(name)


def _side(name: str) -> int:
    return 1 if name.startswith(SIDES[1]) else 0
