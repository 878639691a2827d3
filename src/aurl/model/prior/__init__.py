"""The registry of priors; importing it registers them all."""

from aurl.model.prior import gaussian
from aurl.model.prior.kinds import PRIORS, Prior

__all__ = ["PRIORS", "Prior", "gaussian"]
