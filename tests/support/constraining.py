"""Every registered constraint with options that are hard to keep to, and models that pay no heed to music."""

import math

import torch

from aurl.generation.constraints import CONSTRAINTS
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import CHORD, EOS, NOTE_OFF, NOTE_ON, PART, TIME_SHIFT, VELOCITY

OPTIONS = {
    "density": {"most": 2.0, "beats": 2.0},
    "grid": {"grid": ["1/8", "1/4t"]},
    "no_copy": {"notes": 2},
    "polyphony": {"voices": 2},
    "range": {"lowest": 57, "highest": 71},
    "scale": {"key": "Eb minor pentatonic"},
}


def options(kind, data):
    """Options of a kind; `data` is music that must not be copied."""
    return {**OPTIONS.get(kind, {}), **({"data": str(data)} if kind == "no_copy" else {})}


def constraint(kind, codec, data=""):
    return CONSTRAINTS.build(kind, codec, **options(kind, data))


class Eager(MusicTransformerVAEGAN):
    """Draws at random, but notes and short waits rather than long silence."""

    def __init__(self, vocabulary_size):
        torch.manual_seed(0)
        super().__init__(vocabulary_size, 16, n_layers=1, n_heads=2)
        self.likings = torch.zeros(vocabulary_size)
        self.likings[: NOTE_ON.stop] = math.log(6)
        self.likings[NOTE_OFF.start : NOTE_OFF.stop] = math.log(8)
        self.likings[TIME_SHIFT.start : TIME_SHIFT.start + 24] = math.log(12)
        self.likings[TIME_SHIFT.start + 24 : TIME_SHIFT.stop] = -math.log(400)
        self.likings[VELOCITY.start : VELOCITY.stop] = math.log(8)
        self.likings[PART.start : PART.stop] = math.log(4)
        self.likings[EOS] = -math.log(100)
        self.likings[CHORD.start : CHORD.stop] = -math.log(20)
        self.eval()

    def forward(self, ids, *, start_steps=None, cache=None):
        return super().forward(ids, start_steps=start_steps, cache=cache) + self.likings
