"""The prior of local or fine latents: each given those before it and the one above it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from aurl.model.latents.posterior import Posterior
from aurl.model.prior.kinds import PRIORS


class LowerPrior(nn.Module):
    """p(latents of a level | latents of the level above), one after the other.

    A GRU reads what came before, together with the latent above and the place under it. These two reach the context
    beside the GRU as well: they say most about the first latents under one, of which the past says least.

    Args:
        size: dimensions of a latent.
        above_size: dimensions of a latent of the level above.
        share: how many stand under the same one of those; None: all.
        kind: distribution of each latent, `{"kind": …}` and its options.
        d_hidden: width of the GRU, and of the context that `kind` is given.
    """

    def __init__(
        self, size: int, above_size: int, *, share: int | None, kind: Mapping[str, Any], d_hidden: int
    ) -> None:
        super().__init__()
        self.share = share
        self.start = nn.Parameter(torch.zeros(size))
        self.join = nn.Linear(size + above_size, d_hidden, bias=False)
        self.place = nn.Embedding(share or 1, d_hidden)
        self.gru = nn.GRU(d_hidden, d_hidden, batch_first=True)
        self.mix = nn.Linear(2 * d_hidden, d_hidden)
        self.prior = PRIORS.from_component(kind, size, d_hidden)

    def log_prob(self, z: Tensor, above: Tensor) -> Tensor:
        """`(B, n)`: log density in nats of each of `z` `(B, n, size)`, given those before it and `above`."""
        return self.prior.log_prob(z, self._contexts(z, above))

    def kl(self, posterior: Posterior, above: Tensor) -> Tensor:
        """`(B, n)`: KL divergence in nats, given what was drawn before and above."""
        return self.prior.kl(posterior, self._contexts(posterior.z, above))

    def moments(self, z: Tensor, above: Tensor) -> tuple[Tensor, Tensor] | None:
        """Means and log-variances `(B, n, size)` of each given those before it and `above`, see `Prior.moments`."""
        return self.prior.moments(z, self._contexts(z, above))

    def sample(self, noise: Tensor, choice: Tensor, above: Tensor, given: Tensor | None = None) -> Tensor:
        """As many latents as `noise` `(B, n, size)` has; those that are `given` come first."""
        count = noise.shape[1]
        known = noise[:, :0] if given is None else given[:, :count]
        latents, past, state = [known], self._behind_start(known), None
        for number in range(known.shape[1], count):
            contexts, state = self._read(past, above, number + 1 - past.shape[1], state)
            past = self.prior.sample(noise[:, number, None], choice[:, number, None], contexts[:, -1:])
            latents.append(past)
        return torch.cat(latents, 1)

    def _contexts(self, z: Tensor, above: Tensor) -> Tensor:
        return self._read(self._behind_start(z[:, :-1]), above, 0, None)[0]

    def _behind_start(self, z: Tensor) -> Tensor:
        return torch.cat([self.start.expand(z.shape[0], 1, -1), z], 1)

    def _read(self, past: Tensor, above: Tensor, first: int, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Contexts of latents from number `first` on, each of which follows one of `past`, and the GRU's state."""
        number = torch.arange(first, first + past.shape[1], device=past.device)
        segment = place = torch.zeros_like(number)
        if self.share is not None:
            segment, place = number // self.share, number % self.share
        x = self.join(torch.cat([past, above[:, segment]], -1)) + self.place(place)  # (B, n, d_hidden)
        self.gru.flatten_parameters()  # copies (averages, loaded weights) scatter them, which cuDNN pays for
        read, state = self.gru(x, state)
        context: Tensor = silu(self.mix(torch.cat([read, x], -1)))
        return context, state
