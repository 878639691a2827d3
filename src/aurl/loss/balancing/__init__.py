"""How the costs of an objective become one number to minimise; importing this package registers all kinds."""

from aurl.loss.balancing import gradient_norm, uncertainty
from aurl.loss.balancing.kinds import BALANCERS, BalanceContext, Balancer

__all__ = ["BALANCERS", "BalanceContext", "Balancer", "gradient_norm", "uncertainty"]
