from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

from aurl.errors import UsageError
from aurl.loss.adversarial import Heard
from aurl.loss.likelihood import Likelihood
from aurl.loss.objective import Objective, build_objective, kl_weights
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.loss.terms import Charge, Outcome
from aurl.model.discriminator import View
from aurl.model.latents import Level, Posterior
from aurl.model.latents.echo import Echo
from aurl.model.latents.parts import Reconstruction
from aurl.profile import load_profile
from aurl.tokens.vocabulary import PAD

LEVELS = (Level("global", 16), Level("fine", 16, 2))


def outcome() -> Outcome:
    generator = torch.Generator().manual_seed(1)
    return Outcome(
        torch.randn(2, 3, PAD + 2, generator=generator),
        torch.tensor([[1, 2, 3], [4, 5, PAD]]),
        torch.tensor([[1, 2, 3], [4, 5, PAD]]),
    )


def with_latents(heard=None) -> Outcome:
    plain = outcome()
    logits = plain.logits.requires_grad_()
    real = {"global": torch.ones(2, 1, dtype=torch.bool), "fine": torch.tensor([[True, True], [True, False]])}
    kl = {"global": torch.tensor([[9.0], [13.0]]), "fine": torch.tensor([[1.0, 2.0], [3.0, 0.0]])}
    bags = {name: torch.zeros(*mask.shape, PAD + 2, requires_grad=True) for name, mask in real.items()}
    empty = torch.zeros(0)
    posteriors = {name: Posterior(empty, empty, empty, mask) for name, mask in real.items()}
    for nats in kl.values():
        nats.requires_grad_()
    echo = Echo(torch.zeros(2, 2, PAD + 2, requires_grad=True), torch.tensor([0, 2]))
    latent = Reconstruction(logits, posteriors, kl, bags, echo)
    return Outcome(logits, plain.targets, plain.following, latent, heard)


class Made:
    """A term of two costs that are known."""

    weights = MappingProxyType({"a": 2.0, "b": 0.5})

    def __call__(self, outcome):
        return {"a": Charge(outcome.logits.sum(), torch.tensor(7.0)), "b": Charge(torch.tensor(3.0), torch.tensor(3.0))}


def test_total_is_the_weighted_sum_and_parts_are_unweighted():
    given = outcome()
    objective = Objective([Made()])
    losses = objective(given)
    assert {name: part.item() for name, part in losses.parts.items()} == {"a": 7.0, "b": 3.0}
    assert losses.total.item() == pytest.approx(2 * given.logits.sum().item() + 0.5 * 3, rel=1e-5)
    objective.reweigh({"b": 4.0})
    assert objective(given).total.item() == pytest.approx(2 * given.logits.sum().item() + 4 * 3, rel=1e-5)


def test_weight_of_an_unknown_term_is_an_error():
    with pytest.raises(UsageError, match="melody"):
        Objective([Likelihood()]).reweigh({"melody": 1.0})


def test_likelihood_is_unweighted_and_unsmoothed():
    plain = build_objective(load_profile())(outcome())
    smoothed = build_objective(load_profile(overrides=["training.label_smoothing=0.1"]))(outcome())
    expected = cross_entropy_sum(outcome().logits, outcome().targets).item()
    assert plain.nats.item() == plain.total.item() == expected
    assert smoothed.nats.item() == expected
    assert smoothed.total.item() != expected


def without_kinds(parts):
    """Costs by name, but for the likelihoods of single kinds of targets, which are only shown."""
    return {name: part.item() for name, part in parts.items() if not name.startswith("nll_")}


def vae(*overrides, mode="vae"):
    profile = load_profile(
        overrides=[f"model.mode={mode}", "loss.free_bits_global=8", "loss.free_bits_fine=4", *overrides], check=()
    )
    return build_objective(profile, LEVELS)


def test_elbo_is_likelihood_and_divergence_and_hints():
    """Global latents cost 22, 16 of which are free; the three fine ones 6, of which 12 would be.

    Two positions of three are asked for an echo, three of the four ids there are real.
    """
    losses = vae("loss.bag=0.5", "loss.echo=0.2", "loss.beta=0.1")(with_latents())
    nats = cross_entropy_sum(outcome().logits, outcome().targets).item()
    bag = 5 * torch.tensor(PAD + 2.0).log().item()
    echo = 3 * 3 / 2 * torch.tensor(PAD + 2.0).log().item()
    assert losses.total.item() == pytest.approx(nats + 0.1 * (22 + 12) + 0.5 * 2 * bag + 0.2 * echo, rel=1e-5)
    parts = without_kinds(losses.parts)
    expected = {"reconstruction": nats, "kl_global": 22.0, "kl_fine": 6.0, "bag_global": bag, "bag_fine": bag}
    expected["echo"] = echo
    assert parts == pytest.approx(expected, rel=1e-5)
    assert losses.nats.item() == parts["reconstruction"]


def test_only_what_is_not_free_has_a_gradient():
    given = with_latents()
    vae("loss.beta=0.1")(given).total.backward()
    torch.testing.assert_close(given.latent.kl["global"].grad, torch.full((2, 1), 0.1))
    assert given.latent.kl["fine"].grad.abs().sum() == 0


def test_beta_is_the_weight_of_every_level():
    objective = vae()
    assert objective.weights["kl_fine"] == 1.0
    objective.reweigh(kl_weights(LEVELS, 0.25))
    assert {name: weight for name, weight in objective.weights.items() if name.startswith("kl")} == {
        "kl_global": 0.25,
        "kl_fine": 0.25,
    }


def test_what_weighs_nothing_is_not_computed():
    parts = vae("loss.bag=0", "loss.echo=0")(with_latents()).parts
    assert set(without_kinds(parts)) == {"reconstruction", "kl_global", "kl_fine"}


def test_without_latents_there_is_nothing_but_the_likelihood():
    losses = vae(mode="vae_gan")(outcome())
    assert set(without_kinds(losses.parts)) == {"reconstruction"}
    assert losses.total.item() == losses.nats.item()


def test_the_discriminator_counts_where_it_listens():
    objective = vae("loss.adversarial=0.5", "loss.feature_matching=0.25", mode="vae_gan")
    silent = objective(with_latents())
    real = [View("scale_32", torch.zeros(2, 1), (torch.tensor([[1.0], [3.0]]),))]
    fake = [View("scale_32", torch.tensor([[2.0], [-1.0]]), (torch.tensor([[0.0], [0.0]]),))]
    losses = objective(with_latents(Heard(real, fake, torch.tensor([3, 2]))))
    assert "adversarial" not in silent.parts
    assert losses.parts["adversarial"].item() == 3 * -2 + 2 * 1
    assert losses.parts["feature_matching"].item() == 3 * 1 + 2 * 3
    assert losses.total.item() == pytest.approx(silent.total.item() + 0.5 * -4 + 0.25 * 9, rel=1e-5)


@pytest.mark.parametrize("cap", [0.0, 1.0])
def test_what_the_stabiliser_weighs_is_not_balanced_once_more(cap):
    balancing = "loss.balancing={kind='gradient_norm', every=1}"
    objective = vae(balancing, f"discriminator.weight_cap={cap}", mode="vae_gan")
    given = with_latents()
    fake = [View("scale_32", given.logits.sum((1, 2))[:, None], (given.logits.sum((1, 2))[:, None],))]
    real = [View("scale_32", torch.zeros(2, 1), (torch.zeros(2, 1),))]
    objective(replace(given, heard=Heard(real, fake, torch.tensor([3, 2]))))
    objective.balancer.step()
    assert set(objective.balancer.factors) == (set() if cap else {"adversarial", "feature_matching"})


def test_only_the_total_has_a_gradient():
    losses = vae()(with_latents())
    assert losses.total.requires_grad
    assert not any(part.requires_grad for part in losses.parts.values())
