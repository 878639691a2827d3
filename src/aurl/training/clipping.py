"""Clipping of gradients (a registry): how much of a gradient is used, from its norm alone.

Norms stay on the device: no kind waits for a GPU in a step.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from aurl.registry import Registry

EPSILON = 1e-6
"""Added to the norm that is divided by, as torch does."""


class Clipping(Protocol):
    """What is left of a gradient."""

    def __call__(self, norm: Tensor) -> Tensor | None:
        """Factor of a gradient of that norm, at most 1; None: it is left alone.

        Args:
            norm: () of all gradients together, on their device; may be infinite where fp16 has overflowed.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """What has been learned of norms, as JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`; what another kind has left is left alone."""
        ...


CLIPPING: Registry[Clipping] = Registry("clipping")
"""Factories are called with the options of the profile."""


class Steady:
    """A kind that learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


class Unlimited(Steady):
    """Nothing is clipped."""

    def __call__(self, norm: Tensor) -> None:
        """Every gradient is left alone."""


class ToNorm(Steady):
    """Gradients are shortened to a norm.

    Args:
        max_norm: the largest.
    """

    def __init__(self, max_norm: float) -> None:
        self._max_norm = max_norm

    def __call__(self, norm: Tensor) -> Tensor:
        """As `torch.nn.utils.clip_grad_norm_` does."""
        return torch.clamp(self._max_norm / (norm + EPSILON), max=1.0)


class ToPercentile:
    """Gradients are shortened to a percentile of the norms that were seen last, this one among them.

    A norm that is no number is not remembered.

    Args:
        percentile: 0–100.
        history: how many norms are remembered.
    """

    def __init__(self, percentile: float, history: int) -> None:
        self._share = percentile / 100.0
        self._norms = torch.full((history,), math.nan)
        self._seen = 0

    def __call__(self, norm: Tensor) -> Tensor:
        """The factor; the norm is remembered before clipping."""
        known = self._norms = self._norms.to(norm.device)
        known[self._seen % len(known)] = torch.where(norm.isfinite(), norm, math.nan)
        self._seen += 1
        limit = torch.nanquantile(known, self._share)  # NaN where nothing has been seen
        return torch.clamp(limit.nan_to_num(nan=math.inf) / (norm + EPSILON), max=1.0)

    def state_dict(self) -> dict[str, Any]:
        """The norms, None for those that were no numbers, and how many there were in all."""
        norms = self._norms[: self._seen].tolist()
        return {"seen": self._seen, "norms": [norm if math.isfinite(norm) else None for norm in norms]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`; a history of another length goes on with the newest norms that it has room for."""
        seen, found = int(state.get("seen", 0)), state.get("norms", [])
        turn = seen % len(found) if len(found) and seen > len(found) else 0
        in_order = [math.nan if norm is None else float(norm) for norm in [*found[turn:], *found[:turn]]]
        kept = in_order[-len(self._norms) :]
        self._norms = torch.full((len(self._norms),), math.nan)
        self._seen = seen if len(found) == len(self._norms) else len(kept)
        for place, norm in enumerate(kept, start=self._seen - len(kept)):
            self._norms[place % len(self._norms)] = norm


@CLIPPING.register("none")
def none() -> Unlimited:
    """Gradients as they are; their norm is still logged."""
    return Unlimited()


@CLIPPING.register("norm")
def norm(*, max_norm: Annotated[float, Gt(0)] = 1.0) -> ToNorm:
    """Gradients that are longer than a fixed norm are shortened to it (Pascanu et al., ICML 2013).

    Args:
        max_norm: the largest norm.
    """
    return ToNorm(max_norm)


@CLIPPING.register("adaptive")
def adaptive(
    *, percentile: Annotated[float, Gt(0), Le(100)] = 90.0, history: Annotated[int, Ge(2)] = 1000
) -> ToPercentile:
    """To a percentile of the norms seen last (AutoClip, Seetharaman et al., MLSP 2020), whatever the loss's scale is.

    It needs one norm per step, which is known anyway. AGC (Brock et al., ICML 2021) compares rows of every matrix
    instead, and has to be told which layers to leave alone.

    Args:
        percentile: of norms that are not clipped.
        history: norms that are remembered; all that there were makes the first, large ones count for ever.
    """
    return ToPercentile(percentile, history)
