"""Held-out windows, and what a run's latents do there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from aurl.data.dataset import Rows, TokenDataset
from aurl.evaluation.latents import latent_use
from aurl.generation.load import EMA_FILE, MODEL_FILE, Loaded, choose_device
from aurl.model.build import build_model
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights
from aurl.training.run import Run

BATCH_SIZE = 8
LEVELS = {"all": "all", "global": "g", "local": "l", "fine": "f"}


def dataset_of(run: Path) -> Path:
    return Path(Run(run).facts()["dataset"])


def held_out(dataset: Path, *, seq_len: int, count: int) -> Iterator[Rows]:
    """About `count` windows from all over the valid split in batches; whole ones, so that all have as many latents.

    Neighbours in a batch are of pieces far apart, or latents given to the next row would still know its piece.
    """
    windows = TokenDataset(dataset, "valid", seq_len=seq_len)
    whole = [number for number in range(len(windows)) if len(windows[number].ids) == seq_len + 1]
    if len(whole) < 2:
        raise SystemExit(f"{dataset}: the valid split has no two whole windows of {seq_len} tokens")
    chosen = np.array(whole)[np.unique(np.linspace(0, len(whole) - 1, min(count, len(whole))).round().astype(int))]
    batches = max(1, len(chosen) // BATCH_SIZE)
    for first in range(batches):
        yield windows.__getitems__(chosen[first::batches].tolist())


def use_of(loaded: Loaded, dataset: Path, *, windows: int) -> dict[str, float]:
    """Figures of `LatentUse` for each token, in bf16 as in training."""
    rows = held_out(dataset, seq_len=loaded.profile.data.seq_len, count=windows)
    model = plain(loaded)
    with torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16):
        return latent_use(model, rows).per_token()


def plain(loaded: Loaded) -> MusicTransformerVAEGAN:
    """The model with weights as in training: packed ones are for few rows, and know no bf16."""
    model = build_model(loaded.profile, loaded.codec, loaded.model.styles)
    load_weights(model, loaded.checkpoint / (EMA_FILE if loaded.is_average else MODEL_FILE))
    return model.eval().to(choose_device())


def by_level(figures: dict[str, float], prefix: str) -> str:
    found = {key.removeprefix(prefix): value for key, value in figures.items() if key.startswith(prefix)}
    return " ".join(f"{LEVELS[name]} {value:.3f}" for name, value in found.items())


def line(name: str, figures: dict[str, float]) -> str:
    """Everything on one line; nats per token."""
    parts = [
        f"{name}: {figures['tokens']:,} tokens",
        f"accuracy {figures['accuracy']:.3f}",
        f"CE {figures['nats']:.3f} (means {figures['mean_nats']:.3f})",
        f"KL {by_level(figures, 'kl/')}",
        f"-ELBO {figures['bound']:.3f}/token {figures['bound_per_note']:.3f}/note",
        f"lost {by_level(figures, 'lost/')}",
        f"active {by_level(figures, 'active_units/')}",
    ]
    return " | ".join(part for part in parts if not part.endswith(" "))
