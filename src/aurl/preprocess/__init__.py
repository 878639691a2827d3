"""Score → Score, each kind an option of `prepare`."""

from aurl.preprocess.filters import density, length, pitch_range, tracks
from aurl.preprocess.instruments import instruments
from aurl.preprocess.key import key
from aurl.preprocess.pedal import pedal
from aurl.preprocess.polyphony import polyphony
from aurl.preprocess.quantize import quantize
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep
from aurl.preprocess.segment import segment
from aurl.preprocess.velocity import velocity

__all__ = [
    "PREPROCESS",
    "PreprocessStep",
    "Preprocessed",
    "density",
    "instruments",
    "key",
    "length",
    "pedal",
    "pitch_range",
    "polyphony",
    "quantize",
    "segment",
    "tracks",
    "velocity",
]
