"""A normal distribution bent by invertible layers."""

from collections.abc import Sequence
from typing import Annotated, Literal, cast

from annotated_types import Ge
from torch import Tensor, nn

from aurl.model.prior.gaussian import Gaussian
from aurl.model.prior.kinds import PRIORS, Prior
from aurl.model.prior.layers import Coupling, Planar


class Flow(Prior):
    """Latents that become normal when the layers are applied to them (a normalising flow).

    Layers lead from latents to noise: the density, which every training step needs, is a formula for each kind of
    layer; only drawing has to go through their inverses. Both the normal and the layers depend on the context.

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
        layers: from latents to noise.
    """

    def __init__(self, size: int, context_size: int, *, layers: Sequence[Coupling | Planar]) -> None:
        super().__init__(size, context_size)
        self.noise = Gaussian(size, context_size)
        self.layers = nn.ModuleList(layers)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log density of the noise, and how much each layer stretches."""
        total = z.new_zeros(z.shape[:-1])
        for layer in self._layers():
            z, log_determinant = layer(z, context)
            total = total + log_determinant
        return total + self.noise.log_prob(z, context)

    def sample(self, noise: Tensor, choice: Tensor, context: Tensor | None = None) -> Tensor:
        """The noise, led back through the layers; `choice` is not needed."""
        z = self.noise.sample(noise, choice, context)
        for layer in reversed(self._layers()):
            z = layer.inverse(z, context)
        return z

    def _layers(self) -> list[Coupling | Planar]:
        return cast("list[Coupling | Planar]", list(self.layers))


@PRIORS.register("flow")
def flow(
    size: int, context_size: int, *, layer: Literal["coupling", "planar"] = "coupling", depth: Annotated[int, Ge(1)] = 4
) -> Flow:
    """A normal distribution bent by invertible layers, learned.

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
        layer: coupling bends every second dimension by a network of the others; planar bends space along one
            direction, with far fewer weights.
        depth: how many layers.
    """
    if layer == "planar":
        return Flow(size, context_size, layers=[Planar(size, context_size) for _ in range(depth)])
    return Flow(size, context_size, layers=[Coupling(size, context_size, parity=i % 2) for i in range(depth)])
