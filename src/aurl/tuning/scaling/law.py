"""How the loss falls with the size of a model and with the music it learns from.

L(N, D) = E + A / N^α + B / D^β (Hoffmann et al., 2022, "Training compute-optimal large language models", approach 3):
N parameters, D targets learned, L nats per target.
"""

from dataclasses import dataclass

import numpy as np

FLOPS = 6
"""Of training, for each parameter and each target (Kaplan et al., 2020): two forward, four backward."""


@dataclass(frozen=True)
class Law:
    """The law with its five numbers.

    Args:
        floor: E, what no model can learn.
        size_factor: A.
        size_exponent: α.
        data_factor: B.
        data_exponent: β.
    """

    floor: float
    size_factor: float
    size_exponent: float
    data_factor: float
    data_exponent: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats per target of a model of so many parameters after so many targets."""
        with np.errstate(all="ignore"):  # of a model without size, or of no music, it is infinite
            of_size = self.size_factor * np.float64(parameters) ** -self.size_exponent
            return float(self.floor + of_size + self.data_factor * np.float64(tokens) ** -self.data_exponent)

    def best_for(self, flops: float) -> tuple[float, float]:
        """The parameters and targets with the lowest loss among those that cost `flops` (equation 4)."""
        a, b = self.size_exponent, self.data_exponent
        pairs = flops / FLOPS
        with np.errstate(all="ignore"):  # exponents near 0 know no best size
            share = np.float64(a * self.size_factor / (b * self.data_factor)) ** (1 / (a + b))
            parameters = share * np.float64(pairs) ** (b / (a + b))
            return float(parameters), float(pairs / parameters)


def flops_of(parameters: float, tokens: float) -> float:
    """What training costs, attention aside."""
    return FLOPS * parameters * tokens
