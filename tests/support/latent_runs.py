"""Runs of untrained models with latents, beside a data set that their music is from."""

from pathlib import Path

import torch
from tests.support.runs import write_run
from tests.support.training import write_dataset
from torch import nn

from aurl.generation.load import Loaded, load_run
from aurl.tokens.codec import Codec

SIZES = ("global_size=16", "local_size=16", "fine_size=16", "local_tokens=32", "fine_tokens=16", "stream_size=16")
COMPOSERS = [("Bach", "Mozart", "Clara Schumann")[number % 3] for number in range(24)]


def write_latent_run(folder: Path, *, mode: str = "vae", valid: int = 9, overrides=()) -> Path:
    """`folder/run`, and `folder/dataset` of melodies by three composers."""
    write_dataset(folder, valid=valid, composers=COMPOSERS)
    latent = [f"latent.{size}" for size in SIZES if mode != "transformer"]
    return write_run(folder / "run", Codec(), overrides=[f"model.mode={mode}", *latent, *overrides])


def load_audible(run: Path) -> Loaded:
    """The model of a run, made so that its decoder hears its latents and its prior is not where it began."""
    loaded = load_run(run, packed=False)
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in loaded.model.decoder.hearing:
            nn.init.normal_(layer.weight, std=0.5)
        for parameter in loaded.model.prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return loaded
