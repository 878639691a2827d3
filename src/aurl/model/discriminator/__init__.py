"""What tells music from what a model makes of it, and lets the model hear why."""

from aurl.model.discriminator.discriminator import Discriminator, Input, View
from aurl.model.discriminator.straight_through import straight_through

__all__ = ["Discriminator", "Input", "View", "straight_through"]
