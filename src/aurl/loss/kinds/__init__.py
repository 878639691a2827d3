"""Loss terms that a profile may add; importing this package registers all of them."""

from aurl.loss import distillation
from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.latent import mutual_information, orthogonality, sparsity
from aurl.loss.musical import harmony, melody, perceptual, rhythm

__all__ = [
    "LOSSES",
    "LossContext",
    "Weight",
    "distillation",
    "harmony",
    "melody",
    "mutual_information",
    "orthogonality",
    "perceptual",
    "rhythm",
    "sparsity",
]
