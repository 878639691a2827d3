"""The prior of all latents of a piece, from the global one down."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from aurl.model.latents.levels import GLOBAL, Latents, Level
from aurl.model.latents.posterior import Posterior
from aurl.model.prior.conditions import UNKNOWN, Conditions, forget
from aurl.model.prior.kinds import PRIORS
from aurl.model.prior.lower import LowerPrior


class LatentPrior(nn.Module):
    """p(global | conditions) p(local | global) p(fine | local), for whichever of these levels there are.

    A level's latents depend on those of the next level above that exists and on those before them, not on later ones.
    It begins as a standard normal distribution of every latent (where the kind can), and computes in full precision.

    Args:
        levels: coarse to fine; the first is the global one, and the segments of each divide those above it.
        kind: prior of the global latent, `{"kind": …}` and its options.
        lower_kind: the same for each lower latent.
        d_hidden: width of what computes contexts.
        conditions: what the global latent depends on, such as "key" → how many values it has.

    Raises:
        ValueError: segments of a level do not divide those above it.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        kind: Mapping[str, Any],
        lower_kind: Mapping[str, Any],
        d_hidden: int,
        conditions: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.conditions = Conditions(conditions, d_hidden) if conditions else None
        self.prior = PRIORS.from_component(kind, levels[0].size, d_hidden if conditions else 0)
        self.lower = nn.ModuleDict(
            {
                level.name: LowerPrior(
                    level.size, above.size, share=_share(level, above), kind=lower_kind, d_hidden=d_hidden
                )
                for above, level in pairwise(self.levels)
            }
        )

    def kl(self, posteriors: Mapping[str, Posterior], conditions: Tensor | None = None) -> dict[str, Tensor]:
        """KL divergences in nats, level → `(B, n)`, 0 where a latent is not real.

        What a latent's prior is told of others are the draws in `posteriors`, with their gradient: a latent learns to
        be predicted, and to predict.

        Args:
            posteriors: level → posterior.
            conditions: `(B, C)` values of the conditions, −1 unknown; None: all unknown.
        """
        with _full_precision(posteriors[GLOBAL].z):
            exact = {name: _precise_posterior(posterior) for name, posterior in posteriors.items()}
            known = forget(conditions) if self.training and conditions is not None else conditions
            top = exact[GLOBAL]
            found = {GLOBAL: self.prior.kl(top, self._context(top.z, known))}
            for above, name, lower in self._lower():
                found[name] = lower.kl(exact[name], exact[above].z)
            return {name: kl.where(exact[name].real, 0) for name, kl in found.items()}

    def log_prob(self, latents: Latents, conditions: Tensor | None = None) -> dict[str, Tensor]:
        """Log densities in nats, level → `(B, n)`, of latents given those above and before."""
        with _full_precision(latents[GLOBAL]):
            z = {name: _precise(latent) for name, latent in latents.items()}
            found = {GLOBAL: self.prior.log_prob(z[GLOBAL], self._context(z[GLOBAL], conditions))}
            return found | {name: lower.log_prob(z[name], z[above]) for above, name, lower in self._lower()}

    def moments(self, latents: Latents, conditions: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor] | None]:
        """Means and log-variances, level → `(B, n, size)` each, given those above and before; see `Prior.moments`.

        Args:
            latents: level → `(B, n, size)`.
            conditions: `(B, C)` values of the conditions, −1 unknown; None: all unknown.
        """
        with _full_precision(latents[GLOBAL]):
            z = {name: _precise(latent) for name, latent in latents.items()}
            found = {GLOBAL: self.prior.moments(z[GLOBAL], self._context(z[GLOBAL], conditions))}
            return found | {name: lower.moments(z[name], z[above]) for above, name, lower in self._lower()}

    def sample(
        self,
        noise: Latents,
        choice: Mapping[str, Tensor],
        *,
        conditions: Tensor | None = None,
        given: Latents | None = None,
    ) -> dict[str, Tensor]:
        """Latents of all levels, level → `(B, n, size)`; the same numbers give the same latents, in any batch.

        Args:
            noise: level → `(B, n, size)` standard normal; says how many to make.
            choice: level → `(B, n)` uniform in [0, 1).
            conditions: `(B, C)` values of the conditions, −1 unknown; None: all unknown.
            given: level → `(B, m, size)`, the first m latents of that level; others follow from them, and what stands
                in `noise` in their place is not used.
        """
        with _full_precision(noise[GLOBAL]):
            noise = {name: _precise(numbers) for name, numbers in noise.items()}
            known = {name: _precise(latent) for name, latent in (given or {}).items()}
            context = self._context(noise[GLOBAL], conditions)
            top = known[GLOBAL] if GLOBAL in known else self.prior.sample(noise[GLOBAL], choice[GLOBAL], context)
            found = {GLOBAL: top}
            for above, name, lower in self._lower():
                found[name] = lower.sample(noise[name], choice[name], found[above], known.get(name))
            return found

    def _lower(self) -> Iterator[tuple[str, str, LowerPrior]]:
        """(level above, level, its prior), coarse to fine."""
        for above, level in pairwise(self.levels):
            yield above.name, level.name, cast("LowerPrior", self.lower[level.name])

    def _context(self, like: Tensor, conditions: Tensor | None) -> Tensor | None:
        """`(B, 1, d_hidden)`."""
        if self.conditions is None:
            return None
        if conditions is None:
            conditions = torch.full((like.shape[0], len(self.conditions.tables)), UNKNOWN, device=like.device)
        context: Tensor = self.conditions(conditions)
        return context[:, None]


def _share(level: Level, above: Level) -> int | None:
    """How many latents of `level` stand under one of `above`; None: all."""
    if above.tokens is None:
        return None
    share = level.count(above.tokens)
    if share * (level.tokens or 0) != above.tokens:
        raise ValueError(f"segments of {level.tokens} tokens ({level.name}) do not divide those of {above.tokens}")
    return share


def _full_precision(like: Tensor) -> torch.autocast:
    """Variances do not survive bf16."""
    return torch.autocast(like.device.type, enabled=False)


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _precise_posterior(posterior: Posterior) -> Posterior:
    mean, log_variance, z, real = posterior
    return Posterior(_precise(mean), _precise(log_variance), _precise(z), real)
