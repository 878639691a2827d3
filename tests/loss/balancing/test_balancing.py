import json
import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from aurl.loss.balancing import BALANCERS, BalanceContext
from aurl.loss.balancing.gradient_norm import GradientNorm
from aurl.loss.balancing.uncertainty import Uncertainty
from aurl.loss.terms import Outcome
from aurl.model.latents import Posterior
from aurl.model.latents.echo import Echo
from aurl.model.latents.parts import Reconstruction
from aurl.tokens.vocabulary import PAD

WEIGHTS = {"reconstruction": 1.0, "kl_global": 0.5, "leaps": 0.2, "sparsity_global": 0.1, "adversarial": 0.3}
KINDS = BALANCERS.kinds()


def outcome(rows=2, seed=0):
    """Latents, logits that a decoder makes of them, and four targets in each row."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, 1, 3, generator=generator).requires_grad_()
    log_variance = torch.zeros(rows, 1, 3).requires_grad_()
    z = mean + torch.exp(0.5 * log_variance) * torch.randn(rows, 1, 3, generator=generator)
    decoder = torch.randn(3, 5, generator=torch.Generator().manual_seed(99))
    logits = (z @ decoder).expand(rows, 4, 5) * torch.arange(1, 5)[:, None]
    posteriors = {"global": Posterior(mean, log_variance, z, torch.ones(rows, 1, dtype=torch.bool))}
    targets = torch.randint(0, 5, (rows, 4), generator=generator)
    nothing = torch.zeros(0)
    return Outcome(logits, targets, targets, Reconstruction(logits, posteriors, {}, {}, Echo(nothing, nothing)))


def costs_of(given):
    """One cost of each sort: of logits, of latents, of both."""
    mean, log_variance = given.latent.posteriors["global"][:2]
    flat = given.logits.flatten(0, 1)
    return {
        "reconstruction": torch.nn.functional.cross_entropy(flat, given.targets.flatten(), reduction="sum"),
        "kl_global": 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(),
        "leaps": 20 * flat.softmax(-1)[:, 0].square().sum(),
        "sparsity_global": mean.abs().sum(),
        "adversarial": -flat.tanh().sum(),
    }


def played(balancer, given, weights=WEIGHTS, costs=None):
    """One update of one batch."""
    balancer.begin()
    total = balancer.total(costs_of(given) if costs is None else costs, weights, given)
    balancer.step()
    return total


def length(gradients):
    return math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))


def build(kind, context=None, **options):
    return BALANCERS.build(kind, context or BalanceContext(), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_before_anything_is_learned_it_is_the_weighted_sum(kind):
    given = outcome()
    expected = sum(WEIGHTS[name] * cost for name, cost in costs_of(given).items())
    torch.testing.assert_close(build(kind).total(costs_of(given), WEIGHTS, given), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_total_has_the_gradient_of_its_weights_times_factors(kind):
    balancer = build(kind)
    for seed in range(3):
        played(balancer, outcome(seed=seed))
    given = outcome(seed=7)
    factors, costs = balancer.factors, costs_of(given)
    mean = given.latent.posteriors["global"].mean
    (found,) = torch.autograd.grad(balancer.total(costs, WEIGHTS, given), mean, retain_graph=True)
    (expected,) = torch.autograd.grad(sum(WEIGHTS[name] * factors.get(name, 1) * costs[name] for name in costs), mean)
    torch.testing.assert_close(found, expected)
    assert bool(factors) == (kind != "fixed")
    assert all(factor != 1 for factor in factors.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_and_its_hints_keep_their_weights(kind):
    balancer, given = build(kind), outcome()
    costs = costs_of(given)
    hints = {"bag_global": costs["leaps"], "echo": costs["leaps"]}
    played(balancer, given, {**WEIGHTS, "bag_global": 0.1, "echo": 0.2}, costs | hints)
    assert not {"reconstruction", "kl_global", *hints} & set(balancer.factors)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"fixed"}))
def test_divergence_is_balanced_where_that_is_asked_for(kind):
    balancer = build(kind, kl=True)
    played(balancer, outcome())
    assert "kl_global" in balancer.factors
    assert "reconstruction" not in balancer.factors


@pytest.mark.parametrize("kind", KINDS)
def test_what_something_else_moves_is_left_alone(kind):
    balancer = build(kind, BalanceContext(left=frozenset({"leaps"})))
    played(balancer, outcome())
    assert "leaps" not in balancer.factors


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_from_what_it_has_learned(kind):
    first, second = build(kind), build(kind)
    for seed in range(23):
        played(first, outcome(seed=seed))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.factors == first.factors
    for seed in range(23, 45):
        assert torch.equal(played(second, outcome(seed=seed)), played(first, outcome(seed=seed)))
    assert second.factors == first.factors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_what_another_kind_has_learned_begins_as_new(kind, other):
    learned, balancer = build(other), build(kind)
    played(learned, outcome())
    balancer.load_state_dict(learned.state_dict())
    assert balancer.factors == (learned.factors if kind == other else {})


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_that_begins_again_is_counted_once(kind):
    once, twice = build(kind), build(kind)
    twice.begin()
    twice.total(costs_of(outcome(seed=5)), WEIGHTS, outcome(seed=5))
    given = outcome()
    twice.begin()
    twice.total(costs_of(given), WEIGHTS, given)
    twice.step()
    played(once, given)
    assert twice.factors == once.factors


class Meeting:
    """Adds up what two threads bring."""

    def __init__(self):
        self._barrier, self._brought = Barrier(2), [None, None]

    def member(self, rank):
        def add_up(own):
            self._brought[rank] = own.clone()
            self._barrier.wait()
            total = self._brought[0] + self._brought[1]
            self._barrier.wait()
            return total

        return add_up


def half(given, rows):
    """Some rows of a batch, with a graph of their own."""
    return outcome_of(given.latent.posteriors["global"].mean[rows], given.targets[rows])


def outcome_of(mean, targets):
    mean = mean.detach().clone().requires_grad_()
    log_variance = torch.zeros_like(mean).requires_grad_()
    decoder = torch.randn(3, 5, generator=torch.Generator().manual_seed(99))
    logits = (mean @ decoder).expand(len(mean), 4, 5) * torch.arange(1, 5)[:, None]
    posteriors = {"global": Posterior(mean, log_variance, mean, torch.ones(len(mean), 1, dtype=torch.bool))}
    nothing = torch.zeros(0)
    return Outcome(logits, targets, targets, Reconstruction(logits, posteriors, {}, {}, Echo(nothing, nothing)))


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_one_with_twice_the_batch(kind):
    """And both hold the same numbers; the third update has two batches in one process."""
    meeting, alone = Meeting(), build(kind)
    both = [build(kind, BalanceContext(meeting.member(rank))) for rank in range(2)]
    for seed in range(3):
        whole = half(outcome(4, seed), slice(None))
        cuts = [[slice(0, 1)], [slice(1, 4)]] if seed < 2 else [[slice(0, 1), slice(1, 2)], [slice(2, 4)]]
        for balancer, own in zip(both, cuts, strict=True):
            balancer.begin()
            for rows in own:
                part = half(whole, rows)
                balancer.total(costs_of(part), WEIGHTS, part)
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda balancer: balancer.step(), both))
        played(alone, whole)
    assert both[0].factors == both[1].factors
    assert both[0].factors == pytest.approx(alone.factors, rel=1e-4)


def steps(balancer, cost, count):
    """Updates with a cost of so many nats for each of eight targets."""
    for _ in range(count):
        given = outcome()
        played(balancer, given, {"leaps": 1.0}, {"leaps": torch.tensor(8.0 * cost, requires_grad=True)})
    return balancer.factors.get("leaps")


def uncertain(rate=0.1, limit=10.0):
    return Uncertainty(BalanceContext(), rate=rate, limit=limit, kl=False)


def test_a_step_of_uncertainty_by_hand():
    """Slopes of log-factors: 1.5 - 1; then 1.5 × exp(-0.05) - 1; a cost of 9 is clipped to 1."""
    balancer = uncertain()
    assert steps(balancer, 1.5, 1) == pytest.approx(math.exp(-0.05))
    assert steps(balancer, 1.5, 1) == pytest.approx(math.exp(-0.05 - 0.1 * (1.5 * math.exp(-0.05) - 1)))
    assert steps(uncertain(), 9.0, 1) == pytest.approx(math.exp(-0.1))


@pytest.mark.parametrize("cost", [0.2, 1.0, 5.0])
def test_uncertainty_rests_where_the_published_objective_is_least(cost):
    """Over s, exp(-s) L + s; found by brute force."""
    grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    best = grid[(torch.exp(-grid) * cost + grid).argmin()]
    assert steps(uncertain(), cost, 200) == pytest.approx(math.exp(-best), rel=1e-3)


def test_uncertainty_has_bounds():
    assert steps(uncertain(limit=4.0), 100.0, 50) == pytest.approx(0.25)
    assert steps(uncertain(limit=4.0), 1e-4, 50) == pytest.approx(4.0)


@pytest.mark.parametrize("cost", [0.0, -3.0, math.inf, math.nan])
def test_a_cost_that_is_no_likelihood_has_no_uncertainty(cost):
    balancer = uncertain()
    before = steps(balancer, 2.0, 3)
    assert steps(balancer, cost, 3) == before
    adversarial = build("uncertainty")
    played(adversarial, outcome())
    assert adversarial.factors.keys() == {"leaps", "sparsity_global"}


def test_a_cost_that_is_not_there_does_not_count():
    """As adversaries that join late; and where only some batches of an update have it, it is a mean over them."""
    balancer = uncertain()
    given = outcome()
    balancer.begin()
    balancer.total({"leaps": torch.tensor(8.0 * 1.5)}, {"leaps": 1.0, "rests": 1.0}, given)
    balancer.total({}, {"leaps": 1.0, "rests": 1.0}, given)
    balancer.step()
    assert balancer.factors == pytest.approx({"leaps": math.exp(-0.05), "rests": 1.0})


def normed(every=1, decay=0.0, limit=100.0, kl=False):
    return GradientNorm(BalanceContext(), every=every, decay=decay, limit=limit, kl=kl)


@pytest.mark.parametrize("name", ["leaps", "adversarial", "sparsity_global"])
def test_gradients_become_shares_of_the_likelihoods(name):
    """At the logits, or at the posteriors, where divergence pulls as well, for what does not depend on logits."""
    balancer = normed()
    played(balancer, outcome(seed=3))
    given = outcome(seed=3)
    posterior = given.latent.posteriors["global"]
    places = [posterior.mean, posterior.log_variance] if name == "sparsity_global" else [given.logits]
    costs = costs_of(given)
    costs["bound"] = costs["reconstruction"] + WEIGHTS["kl_global"] * costs["kl_global"]
    own, bound = (
        length(
            g for g in torch.autograd.grad(costs[one], places, retain_graph=True, allow_unused=True) if g is not None
        )
        for one in (name, "bound")
    )
    assert balancer.factors[name] * own == pytest.approx(bound, rel=1e-5)


def test_shares_by_hand():
    """Likelihood 3 × the sum of the logits, costs 12 × and 0.5 × it: factors 1 / 4 and 6, the second bounded by 5."""
    given = outcome()
    costs = {name: factor * given.logits.sum() for name, factor in (("reconstruction", 3), ("a", 12), ("b", 0.5))}
    balancer = normed(limit=5.0)
    played(balancer, given, dict.fromkeys(costs, 1.0), costs)
    assert balancer.factors == pytest.approx({"a": 0.25, "b": 5.0})
    total = played(balancer, given, {"reconstruction": 1.0, "a": 0.1, "b": 2.0}, costs)
    assert total.item() == pytest.approx((3 + 0.1 * 0.25 * 12 + 2 * 5 * 0.5) * given.logits.sum().item(), rel=1e-5)


def ratios(balancer, sizes):
    """Factors after updates in which the cost's gradient is so many times the likelihood's."""
    found = []
    for size in sizes:
        given = outcome()
        costs = {"reconstruction": given.logits.sum(), "a": size * given.logits.sum()}
        played(balancer, given, {"reconstruction": 1.0, "a": 1.0}, costs)
        found.append(balancer.factors.get("a"))
    return found


def test_ratios_are_averaged_geometrically():
    assert ratios(normed(decay=0.5), [4.0, 1.0, 16.0]) == pytest.approx([1 / 4, 1 / 2, (1 / 2 * 1 / 16) ** 0.5])


def test_gradients_are_measured_now_and_then():
    assert ratios(normed(every=3), [4.0, 1.0, 1.0, 2.0, 1.0]) == pytest.approx([1 / 4, 1 / 4, 1 / 4, 1 / 2, 1 / 2])


def test_a_gradient_of_nothing_changes_nothing():
    """A divergence below its free nats, a term without weight, a constant, numbers that have overflown."""
    balancer = normed()
    assert ratios(balancer, [4.0, 0.0, math.inf, math.nan]) == pytest.approx([1 / 4] * 4)
    given = outcome()
    likelihood = given.logits.sum()
    for cost, weight in ((torch.tensor(3.0), 1.0), (9 * given.logits.sum(), 0.0)):
        weights = {"reconstruction": 1.0, "a": weight, "b": weight}
        played(balancer, given, weights, {"reconstruction": likelihood, "b": cost})
    assert balancer.factors == pytest.approx({"a": 1 / 4})


def test_measuring_leaves_gradients_of_parameters_alone():
    layer = torch.nn.Linear(3, 5)
    logits = layer(torch.ones(2, 4, 3))
    targets = torch.full((2, 4), PAD)
    given = Outcome(logits, targets, targets)
    balancer = normed()
    total = played(
        balancer, given, {"reconstruction": 1.0, "a": 1.0}, {"reconstruction": logits.sum(), "a": logits.mean()}
    )
    assert layer.weight.grad is None
    assert balancer.factors == pytest.approx({"a": 40.0})
    total.backward()
    assert layer.weight.grad is not None
