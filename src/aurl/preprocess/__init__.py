"""Score → Score, each kind an option of `prepare`."""

from aurl.preprocess.quantize import quantize
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

__all__ = ["PREPROCESS", "PreprocessStep", "Preprocessed", "quantize"]
