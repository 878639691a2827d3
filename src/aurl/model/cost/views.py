"""What the views of a discriminator cost for one window of music."""

from typing import NamedTuple, cast

from torch import nn

from aurl.model.cost.flops import weights
from aurl.model.discriminator import Discriminator
from aurl.model.discriminator.bounded import SQUARINGS, Bounded
from aurl.model.discriminator.course import CourseView, Dilated
from aurl.model.discriminator.features import SEGMENT_TOKENS
from aurl.model.discriminator.music import MusicView
from aurl.model.discriminator.windows import Strided, WindowView

BYTES_OF_NOTES = 2048
"""What is kept of each token that is read as a note, measured: phases, intervals and their like, in fp32."""
REAL_AND_MADE = 2
"""The discriminator learns from real and generated windows at once."""


class ViewCost(NamedTuple):
    """Of one view.

    Args:
        shared: operations that are the same for any batch: norms of weights, and the table that ids are looked up in.
        reading: operations for one-hots, which ids do without.
        hearing: operations for what follows.
        kept: bytes kept while it learns from a real and a generated window, or the generator from it.
    """

    shared: float
    reading: float
    hearing: float
    kept: float


def view_costs(
    discriminator: Discriminator, *, vocabulary_size: int, length: int, n_locals: int, width: int
) -> dict[str, ViewCost]:
    """View → its cost.

    Args:
        discriminator: whose views.
        vocabulary_size: ids known.
        length: tokens in the window.
        n_locals: local latents of the window.
        width: bytes of a number in the forward pass.
    """
    scales = cast("list[tuple[str, WindowView]]", list(discriminator.scales.items()))
    found = {name: window_cost(view, vocabulary_size, length, width) for name, view in scales}
    if discriminator.music is not None:
        found["music"] = music_cost(discriminator.music, vocabulary_size, length, width)
    if discriminator.latent is not None:
        found["latent"] = course_cost(discriminator.latent, n_locals, width)
    return found


def norm_flops(view: nn.Module) -> float:
    """Of following the norm of every layer, by powers of its Gram matrix."""
    layers = [layer for layer in view.modules() if isinstance(layer, Bounded)]
    grams = sum(layer.out_features * weights(layer) for layer in layers)
    return 2.0 * (grams + SQUARINGS * sum(layer.out_features**3 for layer in layers))


def window_cost(view: WindowView, vocabulary_size: int, length: int, width: int) -> ViewCost:
    """Of windows that overlap by half, and of a table that is narrowed before anything is looked up in it."""
    d_model = view.enter.out_features
    n_windows = max(1, -(-length // view.hop) - 1)
    positions, hearing, numbers = 2 * view.hop, 0, 0
    for layer in cast("list[Strided]", list(view.layers)):
        positions = -(-positions // layer.stride)
        hearing += positions * weights(layer)
        numbers += positions * (layer.mix.in_features + d_model)
    hearing += weights(view.gather, view.head)
    numbers += view.gather.in_features + 3 * d_model
    return ViewCost(
        2.0 * vocabulary_size * weights(view.enter) + norm_flops(view),
        2.0 * length * vocabulary_size * d_model,
        2.0 * n_windows * hearing,
        float(REAL_AND_MADE * width * n_windows * numbers),
    )


def music_cost(view: MusicView, vocabulary_size: int, length: int, width: int) -> ViewCost:
    """Of what ids mean, read from one-hots, and the course of what segments are like."""
    course = course_cost(view.course, -(-length // SEGMENT_TOKENS), width)
    reading = 2.0 * length * vocabulary_size * view.meanings.shape[1]
    return course._replace(reading=reading, kept=course.kept + length * BYTES_OF_NOTES)


def course_cost(view: CourseView, count: int, width: int) -> ViewCost:
    """Of `count` vectors, one after another."""
    d_model = view.enter.out_features
    layers = cast("list[Dilated]", list(view.layers))
    numbers = view.enter.in_features + d_model + sum(layer.mix.in_features + d_model for layer in layers) + 2 * d_model
    return ViewCost(norm_flops(view), 0.0, 2.0 * count * weights(view), float(REAL_AND_MADE * width * count * numbers))
