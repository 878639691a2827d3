"""The registry of priors; importing it registers them all."""

from aurl.model.prior import flow, gaussian, mixture
from aurl.model.prior.conditions import conditions_of
from aurl.model.prior.hierarchy import LatentPrior
from aurl.model.prior.kinds import PRIORS, Prior

__all__ = ["PRIORS", "LatentPrior", "Prior", "conditions_of", "flow", "gaussian", "mixture"]
