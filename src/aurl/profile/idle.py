"""Keys that were asked for and mean nothing in the mode that was asked for."""

from collections.abc import Collection, Iterator, Sequence

from aurl.profile.faults import Fault
from aurl.profile.merge import Layer, Merged
from aurl.profile.sources import PACKAGED
from aurl.registry import find_registry

MODE_KEY = "model.mode"
TRANSFORMER, VAE, VAE_GAN = "transformer", "vae", "vae_gan"
LOSS = "loss"
TERMS = "loss.terms."
FIRST_MODE = {
    "latent": VAE,
    LOSS: VAE,
    "loss.reconstruction": TRANSFORMER,
    "loss.balancing": TRANSFORMER,
    "loss.adversarial": VAE_GAN,
    "loss.feature_matching": VAE_GAN,
    "discriminator": VAE_GAN,
}
"""Table or key → the mode from which on it counts."""
ORDER = (TRANSFORMER, VAE, VAE_GAN)
"""Each mode has all that those before it have."""


def idle_keys(
    merged: Merged, named: Sequence[Layer | Fault], single: Sequence[Layer | Fault], *, mode_is_open: bool
) -> list[Fault]:
    """Faults of keys without effect, where a person would think that they had one.

    Those of `single` are; those of the files that were `named` are only where nobody has chosen a mode, for files
    are shared between modes. Packaged files, standing files and variables are for all modes anyway, but a packaged file
    that says what is minimised means the modes that minimise it.

    Args:
        merged: all layers.
        named: layers of profiles that were named.
        single: layers of single keys.
        mode_is_open: no layer but the lowest names a mode.
    """
    mode = merged.table["model"].get("mode")
    if mode not in ORDER:
        return []
    asked = {layer.origin for layer in single}
    if mode_is_open:
        asked |= {layer.origin for layer in named if not layer.origin.startswith(PACKAGED) or _says_what_counts(layer)}
    return list(_faults(merged, mode, asked))


def _says_what_counts(layer: Layer | Fault) -> bool:
    return isinstance(layer, Layer) and LOSS in layer.table


def is_at_least(mode: str, first: str) -> bool:
    """Whether `mode` has all that `first` has."""
    return ORDER.index(mode) >= ORDER.index(first)


def _faults(merged: Merged, mode: str, asked: Collection[str]) -> Iterator[Fault]:
    for key, origin in merged.origins.items():
        if "." in key and origin in asked and not is_at_least(mode, first := _first_mode(key)):
            yield Fault(key, f"has no effect in mode {mode}", origin, f"it has one with --profile {first}")


def _first_mode(key: str) -> str:
    """The mode from which on a key counts; that of a loss term is its kind's."""
    if key.startswith(TERMS):
        kind, registry = key.removeprefix(TERMS).partition(".")[0], find_registry("loss")
        return registry.mode(kind) if kind in registry.kinds() else TRANSFORMER
    parts = key.split(".")
    tables = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((FIRST_MODE[table] for table in tables if table in FIRST_MODE), TRANSFORMER)
