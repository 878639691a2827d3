"""Figures as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

LEVELS = ("global", "local", "fine")
Figures = Mapping[str, Any]


def table(head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join([name, *cells])} |" for name, cells in rows.items()]
    return "\n".join(lines)


def likelihoods(runs: Mapping[str, Figures]) -> str:
    """What held-out windows cost; beside the transformer where there is one."""
    plain = runs.get("transformer", {}).get("use", {}).get("bound_per_note")
    rows = {}
    for label, figures in runs.items():
        use = figures["use"]
        kl = [use[f"kl/{level}"] for level in LEVELS if f"kl/{level}" in use]
        ratio = f"{use['bound_per_note'] / plain:.3f}" if plain else ""
        cells = [f"{figures['parameters']:,}", f"{use['accuracy']:.3f}", f"{use['nats']:.3f}"]
        cells += [_levels(kl), f"{use['bound']:.3f}", f"{use['bound_per_note']:.3f}", ratio]
        rows[f"`{label}`"] = cells
    head = ["run", "parameters", "accuracy", "CE/token", "KL/token g l f", "-ELBO/token", "-ELBO/note", "/ transformer"]
    return table(head, rows)


def usage(runs: Mapping[str, Figures]) -> str:
    """Whether latents are used."""
    rows = {}
    for label, figures in runs.items():
        use = figures["use"]
        if "lost/all" in use:
            alone = [use[f"lost/{level}"] for level in LEVELS if f"lost/{level}" in use]
            active = [use[f"active_units/{level}"] for level in LEVELS if f"active_units/{level}" in use]
            rows[f"`{label}`"] = [f"{use['lost/all']:.3f}", _levels(alone), _levels(active, ".0%")]
    head = ["run", "shuffled: nats/token lost", "each level alone g l f", "active units g l f"]
    return table(head, rows) if rows else ""


def reconstruction(runs: Mapping[str, Figures]) -> str:
    """Note F1 of each part of songs, and what it would be beside another song."""
    found = {label: figures["reconstruction"] for label, figures in runs.items() if "reconstruction" in figures}
    parts = next(iter(found.values()), {})
    rows = {
        f"`{label}`": [f"{of[part]['f1']:.3f} ({of[part]['f1_of_another']:.3f})" for part in parts]
        for label, of in found.items()
    }
    head = [part.replace("/", " of songs, ") + " tokens" for part in parts]
    return table(["note F1 (beside another song)", *head], rows) if rows else ""


def music(kinds: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Mean ± deviation, and the overlap with real music."""
    names = next(iter(kinds.values()))
    rows = {}
    for kind, of in kinds.items():
        rows[kind] = [
            f"{of[name]['mean']:.3f} ± {of[name]['deviation']:.3f} ({of[name]['overlap']:.2f})" for name in names
        ]
    return table(["mean ± deviation (overlap)", *(name.replace("_", " ") for name in names)], rows)


def discriminators(runs: Mapping[str, Figures]) -> str:
    """Accuracies in each part of the training in which the discriminator took part."""
    rows = {
        f"`{label}` {name.removeprefix('train/')}": [f"{value:.3f}" for value in values]
        for label, figures in runs.items()
        for name, values in figures.get("discriminator", {}).items()
    }
    parts = max(map(len, rows.values()), default=0)
    return table(["part of its training", *(f"{part + 1} of {parts}" for part in range(parts))], rows) if rows else ""


def _levels(values: Sequence[float], form: str = ".3f") -> str:
    return " ".join(format(value, form) for value in values)
