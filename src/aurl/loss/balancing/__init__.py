"""How the costs of an objective become one number to minimise."""

from aurl.loss.balancing.kinds import BALANCERS, Balancer

__all__ = ["BALANCERS", "Balancer"]
