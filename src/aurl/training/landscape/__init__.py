"""The loss around the weights of a checkpoint: how sharp its minimum is, and a plane through it as a picture."""

from aurl.training.landscape.look import Looking, look, prepare_look
from aurl.training.landscape.picture import picture
from aurl.training.landscape.result import Landscape, Question, Sharpness

__all__ = ["Landscape", "Looking", "Question", "Sharpness", "look", "picture", "prepare_look"]
