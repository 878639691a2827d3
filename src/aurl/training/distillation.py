"""A teacher: a trained model that is asked what it expects, and does not learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aurl.errors import DamagedError, NotFoundError
from aurl.generation.load import CHECKPOINTS
from aurl.home import Home
from aurl.model.build import build_model
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights
from aurl.storage import sha256_file
from aurl.tokens.codec import Codec
from aurl.training.batches import Batch
from aurl.training.start import Source, check_codec, find_named, open_source


class Teacher:
    """What a trained model of any mode expects of a batch.

    Args:
        model: with its trained weights, where batches are; it is left as it is.
    """

    def __init__(self, model: MusicTransformerVAEGAN) -> None:
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Logits `(B, T, V)`; with latents, what the decoder says to the means of their posteriors."""
        stream = None
        if self.model.levels:
            posteriors = self.model.encode(batch.following, batch.start_steps)
            positions = torch.arange(batch.inputs.shape[1], device=batch.inputs.device)
            stream = self.model.stream({level: posterior.mean for level, posterior in posteriors.items()}, positions)
        logits: Tensor = self.model(batch.inputs, start_steps=batch.start_steps, stream=stream)
        return logits


def find_teacher(named: str, codec: Mapping[str, Any]) -> Source:
    """The run that a profile names as `training.teacher`.

    Raises:
        NotFoundError: there is no such run or checkpoint.
        DamagedError: a file of it is not what it was.
        UsageError: its ids are others.
    """
    source = open_source(find_named(named, Home.locate()))
    check_codec(source, codec, "the teacher")
    return source


def load_teacher(facts: Mapping[str, str], device: torch.device) -> Teacher:
    """The teacher that a run began with, where it was or, if that is gone, under its name among the runs.

    Raises:
        NotFoundError: it is nowhere.
        DamagedError: its weights are not what they were.
    """
    source = _found_again(facts)
    if sha256_file(source.weights) != facts["sha256"]:
        raise DamagedError(f"the weights of the teacher {facts['name']} ({source.weights}) are not what they were")
    model = build_model(source.profile, Codec.from_signature(source.codec), source.styles)
    load_weights(model, source.weights)
    return Teacher(model.to(device))


def _found_again(facts: Mapping[str, str]) -> Source:
    begun_with = Path(facts["run"])
    for run in (begun_with, Home.locate().runs / facts["name"]):
        try:
            return open_source(run / CHECKPOINTS / facts["checkpoint"])
        except NotFoundError:
            continue
    raise NotFoundError(
        f"the teacher of this run is gone: {begun_with / CHECKPOINTS / facts['checkpoint']}",
        hint="bring the folder back, there or among the runs",
    )
