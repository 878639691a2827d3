"""Loss terms that a profile may add; importing this package registers all of them."""

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight

__all__ = ["LOSSES", "LossContext", "Weight"]
