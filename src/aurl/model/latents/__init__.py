"""Latents on three levels: what they are, how an encoder finds them, how they reach the decoder."""

from aurl.model.latents.levels import LEVEL_NAMES, Latents, Level
from aurl.model.latents.posterior import Posterior

__all__ = ["LEVEL_NAMES", "Latents", "Level", "Posterior"]
