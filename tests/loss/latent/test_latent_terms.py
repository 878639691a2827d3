import math

import pytest
import torch
from torch.autograd import gradcheck

from aurl.errors import UsageError
from aurl.loss.kinds import LOSSES, LossContext
from aurl.loss.latent.mutual_information import GROUP, confusion
from aurl.loss.latent.orthogonality import redundancy
from aurl.loss.latent.sparsity import loudness
from aurl.loss.latent.term import ALL_LEVELS
from aurl.loss.terms import Outcome
from aurl.model.latents import Level, Posterior
from aurl.model.latents.echo import Echo
from aurl.model.latents.levels import LEVEL_NAMES
from aurl.model.latents.parts import Reconstruction
from aurl.profile import ProfileError, load_profile
from aurl.tokens.vocabulary import PAD

KINDS = ("mutual_information", "orthogonality", "sparsity")
LEVELS = (Level("global", 4), Level("fine", 3, 2))


def posterior(*shape, log_variance=0.0, seed=0, real=None, dtype=torch.float32):
    """Means of the standard normal, and a draw around each."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(*shape, generator=generator, dtype=dtype)
    noise = torch.randn(*shape, generator=generator, dtype=dtype)
    spread = torch.full_like(mean, log_variance)
    there = torch.ones(shape[:2], dtype=torch.bool) if real is None else torch.tensor(real)
    return Posterior(mean, spread, mean + torch.exp(0.5 * spread) * noise, there)


def outcome(posteriors, targets=None):
    targets = torch.tensor([[1, 2, 3], [4, PAD, PAD]]) if targets is None else targets
    nothing = torch.zeros(0)
    latent = Reconstruction(nothing, posteriors, {}, {}, Echo(nothing, nothing))
    return Outcome(torch.zeros(*targets.shape, PAD + 2), targets, targets, latent)


@pytest.mark.parametrize(("size", "log_variance"), [(1, 0.0), (2, 0.0), (1, 1.0), (4, 1.5)])
def test_information_of_a_gaussian_channel(size, log_variance):
    """log(1 + 1 / variance) / 2 nats for each dimension, and in groups of 128 a little less."""
    confused, most = confusion(posterior(256, 32, size, log_variance=log_variance))
    exact = size * 0.5 * math.log(1 + math.exp(-log_variance))
    assert exact < 0.5 * math.log(GROUP)
    assert (most - confused).mean().item() == pytest.approx(exact, rel=0.05)


def test_confusion_by_hand():
    """Three draws and three posteriors of variance 1; the densities of each draw, relative to the highest."""
    mean = torch.tensor([[[0.0]], [[1.0]], [[3.0]]])
    given = Posterior(mean, torch.zeros_like(mean), torch.tensor([[[0.0]], [[2.0]], [[3.0]]]), torch.ones(3, 1) > 0)
    squares = ((0, 1, 9), (4, 1, 1), (9, 4, 0))
    expected = [
        -math.log(math.exp(-row[own] / 2) / sum(math.exp(-square / 2) for square in row))
        for own, row in enumerate(squares)
    ]
    confused, most = confusion(given)
    assert confused.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert most.flatten().tolist() == pytest.approx([math.log(3)] * 3)


def test_variances_count_in_the_density():
    """A draw of 0: density 1 / sqrt(2 pi) under the one, 1 / (2 sqrt(2 pi)) under the other."""
    mean = torch.zeros(2, 1, 1)
    given = Posterior(mean, torch.tensor([[[0.0]], [[math.log(4)]]]), mean, torch.ones(2, 1) > 0)
    assert confusion(given)[0].flatten().tolist() == pytest.approx([math.log(1.5), math.log(3)])


def test_collapsed_latents_tell_nothing_and_far_ones_all():
    same = posterior(6, 1, 4)
    same = same._replace(mean=torch.zeros_like(same.mean))
    confused, most = confusion(same)
    assert confused.flatten().tolist() == pytest.approx([math.log(6)] * 6)
    far = posterior(6, 1, 4, log_variance=-12.0)
    assert confusion(far)[0].abs().max().item() < 1e-6
    assert most[0].item() == pytest.approx(math.log(6))


def test_groups_know_nothing_of_each_other():
    whole = posterior(2 * GROUP + 40, 1, 3, log_variance=1.0)
    parts = [slice(0, GROUP), slice(GROUP, 2 * GROUP), slice(2 * GROUP, None)]
    apart = [confusion(Posterior(*(tensor[part] for tensor in whole))) for part in parts]
    for found, expected in zip(confusion(whole), zip(*apart, strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(expected))


def test_redundancy_is_the_mean_square_of_correlations():
    given = posterior(7, 5, 6, seed=3)
    mixed = given.mean @ torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    correlation = torch.corrcoef(mixed.flatten(0, 1).T)
    expected = (correlation.square().sum() - 6) / 30
    assert redundancy(mixed, given.real).item() == pytest.approx(expected.item(), rel=1e-4)
    assert expected > 0.05


def test_redundancy_of_the_same_and_of_nothing():
    line = torch.randn(20, 1, 1, generator=torch.Generator().manual_seed(2)).expand(20, 1, 3)
    there = torch.ones(20, 1, dtype=torch.bool)
    assert redundancy(line * torch.tensor([1.0, -2.0, 5.0]), there).item() == pytest.approx(1.0, rel=1e-5)
    faint = redundancy(line * 1e-3, there).item()  # far below a variance of 0.01
    assert 0 < faint < 1e-6
    orthogonal = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[:, None]
    assert redundancy(orthogonal, there[:4]).item() == pytest.approx(0.0, abs=1e-7)


def test_loudness_by_hand():
    """Signal to noise of 1, 3 / 2 and 0: half the log of 2, 13 / 4 and 1."""
    given = posterior(1, 1, 3)._replace(
        mean=torch.tensor([[[1.0, -3.0, 0.0]]]), log_variance=torch.tensor([[[0.0, math.log(4), 2.0]]])
    )
    assert loudness(given).item() == pytest.approx(0.5 * (math.log(2) + math.log(13 / 4)))


def test_few_loud_dimensions_cost_less_than_many_faint_ones():
    """Of the same length."""
    one = torch.tensor([[[2.0, 0.0, 0.0, 0.0]]])
    four = torch.full((1, 1, 4), 1.0)
    given = posterior(1, 1, 4)
    assert loudness(given._replace(mean=one)).item() < loudness(given._replace(mean=four)).item()


@pytest.mark.parametrize("cost", [lambda p: confusion(p)[0].sum(), lambda p: redundancy(p.mean, p.real), loudness])
def test_gradients(cost, monkeypatch):
    """In float64, with some that are not real."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    given = posterior(3, 2, 4, dtype=torch.float64, real=[[True, True], [True, False], [True, True]])
    leaves = [tensor.clone().requires_grad_() for tensor in given[:3]]
    assert gradcheck(lambda *tensors: cost(Posterior(*tensors, given.real)), leaves)


def term(kind, levels=LEVELS, **options):
    return LOSSES.build(kind, LossContext("vae", levels), **options)


def some_posteriors():
    real = [[True, True], [True, False]]
    return {"global": posterior(2, 1, 4), "fine": posterior(2, 2, 3, seed=1, real=real)}


@pytest.mark.parametrize("kind", KINDS)
def test_padding_neither_counts_nor_learns(kind):
    given = some_posteriors()
    other = {
        name: Posterior(*(tensor.masked_fill(~one.real[..., None], 7.0) for tensor in one[:3]), one.real)
        for name, one in given.items()
    }
    assert not torch.equal(other["fine"].mean, given["fine"].mean)
    leaf = other["fine"].mean.requires_grad_()
    charges = term(kind)(outcome(other))
    for name, charge in term(kind)(outcome(given)).items():
        torch.testing.assert_close(charges[name].cost, charge.cost)
    charges[f"{kind}_fine"].cost.backward()
    assert leaf.grad[1, 1].abs().sum() == 0
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_and_of_nothing(kind):
    """A single latent can only be loud; one that is of padding is nothing at all."""
    for there in (True, False):
        given = {"global": posterior(1, 1, 4, real=[[there]])}
        leaf = given["global"].mean.requires_grad_()
        (charge,) = term(kind, LEVELS[:1])(outcome(given, torch.tensor([[1, 2]]))).values()
        charge.cost.backward()
        assert leaf.grad.isfinite().all()
        assert (charge.cost.item() > 0) == (kind == "sparsity" and there)


@pytest.mark.parametrize("kind", KINDS)
def test_each_level_has_a_cost_of_its_own(kind):
    assert ALL_LEVELS == LEVEL_NAMES
    built = term(kind, weight=0.3)
    assert built.weights == {f"{kind}_global": 0.3, f"{kind}_fine": 0.3}
    charges = built(outcome(some_posteriors()))
    assert charges.keys() == built.weights.keys()
    assert not any(charge.shown.requires_grad for charge in charges.values())
    assert term(kind, levels=LEVELS)(Outcome(*(torch.zeros(1, 1),) * 3)) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_chosen(kind):
    assert set(LOSSES.build(kind, LossContext("vae", LEVELS), levels=("fine", "local")).weights) == {f"{kind}_fine"}
    with pytest.raises(UsageError, match=f"{kind} is about levels"):
        LOSSES.build(kind, LossContext("vae", LEVELS), levels=("local",))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_in_full(kind):
    halves = {
        name: Posterior(*(tensor.bfloat16() for tensor in one[:3]), one.real) for name, one in some_posteriors().items()
    }
    full = {name: Posterior(*(tensor.float() for tensor in one[:3]), one.real) for name, one in halves.items()}
    for name, charge in term(kind)(outcome(halves)).items():
        assert charge.cost.dtype == torch.float32
        torch.testing.assert_close(charge.cost, term(kind)(outcome(full))[name].cost)


def test_costs_are_sums():
    """Confusion and loudness over latents, redundancy over targets: four of them."""
    given = {"global": posterior(2, 1, 4)}
    costs = {kind: term(kind, LEVELS[:1])(outcome(given))[f"{kind}_global"] for kind in KINDS}
    confused, most = confusion(given["global"])
    assert costs["mutual_information"].cost.item() == pytest.approx(confused.sum().item())
    assert costs["mutual_information"].shown.item() == pytest.approx((most - confused).sum().item())
    assert costs["sparsity"].cost.item() == pytest.approx(loudness(given["global"]).sum().item())
    expected = 4 * redundancy(given["global"].mean, given["global"].real).item()
    assert costs["orthogonality"].cost.item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_they_mean_nothing_without_latents(kind):
    with pytest.raises(ProfileError, match=f"loss.terms.{kind}.weight: has no effect in mode transformer"):
        load_profile(overrides=[f"loss.terms.{kind}.weight=0.1"])
    profile = load_profile(["vae"], [f"loss.terms.{kind}.weight=0.25"])
    assert profile.loss.terms[kind] == {"weight": 0.25, "levels": ["global", "local", "fine"]}


def test_minimising_confusion_revives_collapsed_latents():
    """By gradient descent on the cost alone, posteriors that said nothing come to tell windows apart."""
    generator = torch.Generator().manual_seed(5)
    mean = (0.1 * torch.randn(8, 1, 4, generator=generator)).requires_grad_()
    for _ in range(60):
        noise = torch.randn(8, 1, 4, generator=generator)
        given = Posterior(mean, torch.zeros_like(mean), mean + noise, torch.ones(8, 1, dtype=torch.bool))
        (gradient,) = torch.autograd.grad(confusion(given)[0].sum(), mean)
        with torch.no_grad():
            mean -= 0.5 * gradient
    confused, most = confusion(given)
    assert (most - confused).mean().item() > 0.8 * math.log(8)
