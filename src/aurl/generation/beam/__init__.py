"""Beam search: the likeliest pieces that can be found."""

from aurl.generation.beam.settings import Beam

__all__ = ["Beam"]
