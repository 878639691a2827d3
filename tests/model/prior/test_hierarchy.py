import pytest
import torch
from tests.support.priors import VARIANTS, perturb, posterior, uniform_numbers
from torch.distributions import Normal, kl_divergence
from torch.func import jacrev

from aurl.model.latents import Level, Posterior
from aurl.model.prior import LatentPrior
from aurl.model.prior.conditions import condition_sizes

GLOBAL, LOCAL, FINE = Level("global", 5), Level("local", 4, 12), Level("fine", 3, 4)
TOKENS = 30
"""Three local latents and eight fine ones: the last local stands above two."""
SUBSETS = {
    "flat": (GLOBAL,),
    "global-local": (GLOBAL, LOCAL),
    "global-fine": (GLOBAL, FINE),
    "all": (GLOBAL, LOCAL, FINE),
}
every_subset = pytest.mark.parametrize("subset", SUBSETS)
every_kind = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant.values()))
GAUSSIAN = {"kind": "gaussian"}


def build(subset="all", *, kind=GAUSSIAN, conditions=(), std=1.0):
    torch.manual_seed(0)
    sizes = condition_sizes(conditions)
    prior = LatentPrior(SUBSETS[subset], kind=kind, lower_kind=kind, d_hidden=8, conditions=sizes).double()
    perturb(prior, std=std)
    return prior.eval()


def numbers(prior, batch=2, *, seed=0):
    """Noise and choices for `TOKENS`."""
    shapes = {level.name: (batch, level.count(TOKENS), level.size) for level in prior.levels}
    both = {name: uniform_numbers(*shape, seed=seed) for name, shape in shapes.items()}
    return {name: noise for name, (noise, _) in both.items()}, {name: choice for name, (_, choice) in both.items()}


def posteriors(prior, batch=2, *, seed=0):
    mean, _ = numbers(prior, batch, seed=seed)
    log_variance, _ = numbers(prior, batch, seed=seed + 1)
    return {name: posterior(mean[name], log_variance[name], seed=seed) for name in mean}


@every_subset
def test_begins_as_standard_normal_at_every_level(subset):
    prior = build(subset, std=0)
    q = posteriors(prior)
    for name, kl in prior.kl(q).items():
        expected = kl_divergence(Normal(q[name].mean, (0.5 * q[name].log_variance).exp()), Normal(0, 1))
        torch.testing.assert_close(kl, expected.sum(-1).double())
    assert set(prior.kl(q)) == {level.name for level in SUBSETS[subset]}


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v["kind"] != "mixture"], ids=lambda v: "-".join(v.values()))
@every_subset
def test_all_latents_together_are_drawn_as_densities_say(subset, variant):
    """log p(z) = log N(noise) − log |∂z / ∂noise| of all latents of all levels at once.

    Densities are told the whole sequence (teacher forcing), draws only what has been drawn: both must be the same.
    """
    prior = build(subset, kind=variant, std=0.5)
    noise, choice = numbers(prior, 1)
    shapes = {name: value.shape for name, value in noise.items()}

    def drawn(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        z = prior.sample({name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}, choice)
        return torch.cat([z[name].flatten() for name in shapes])

    flat = torch.cat([value.flatten() for value in noise.values()])
    jacobian = jacrev(drawn)(flat)
    expected = Normal(0, 1).log_prob(flat).sum() - torch.linalg.slogdet(jacobian).logabsdet
    found = sum(value.sum() for value in prior.log_prob(prior.sample(noise, choice)).values())
    torch.testing.assert_close(found, expected.double())
    if subset != "flat":
        assert (jacobian - jacobian.diag().diag()).abs().max() > 0.05


@every_kind
@every_subset
def test_what_is_given_is_gone_on_from_as_if_it_had_been_drawn(subset, variant):
    prior = build(subset, kind=variant)
    noise, choice = numbers(prior)
    whole = prior.sample(noise, choice)
    for given_tokens in (1, 12, 15, TOKENS):
        given = {level.name: whole[level.name][:, : level.count(given_tokens)] for level in prior.levels}
        forgotten = {name: noise[name].clone() for name in noise}
        for name, known in given.items():
            forgotten[name][:, : known.shape[1]] = 99
        again = prior.sample(forgotten, choice, given=given)
        for name, z in again.items():
            torch.testing.assert_close(z, whole[name])


def test_more_may_be_given_of_some_levels_than_is_wanted():
    prior = build()
    noise, choice = numbers(prior)
    fine = torch.ones(2, 20, FINE.size).double()
    drawn = prior.sample(noise, choice, given={"fine": fine})
    assert torch.equal(drawn["fine"], fine[:, :8])
    torch.testing.assert_close(drawn["local"], prior.sample(noise, choice)["local"])


def dependencies(prior, name, number):
    """Of which latents the density of one depends: level → numbers."""
    latents, _ = numbers(prior, 1)
    for value in latents.values():
        value.requires_grad_()
    prior.log_prob(latents)[name][0, number].backward()
    grads = {level: torch.zeros_like(value) if value.grad is None else value.grad for level, value in latents.items()}
    return {level: grad[0].any(-1).nonzero().flatten().tolist() for level, grad in grads.items()}


def test_local_latents_depend_on_the_global_one_and_on_the_past():
    for number in range(3):
        expected = {"global": [0], "local": list(range(number + 1)), "fine": []}
        assert dependencies(build(), "local", number) == expected


def test_fine_latents_depend_on_their_local_one_and_on_the_past():
    for number in range(8):
        local = number * FINE.tokens // LOCAL.tokens
        expected = {"global": [], "local": list(range(local + 1)), "fine": list(range(number + 1))}
        assert dependencies(build(), "fine", number) == expected


def test_fine_latents_depend_on_the_global_one_where_no_local_ones_are():
    assert dependencies(build("global-fine"), "fine", 5) == {"global": [0], "fine": [0, 1, 2, 3, 4, 5]}


def test_the_global_latent_depends_on_nothing():
    assert dependencies(build(), "global", 0) == {"global": [0], "local": [], "fine": []}


def test_the_place_under_the_one_above_is_known():
    prior = build()
    noise, choice = numbers(prior)
    zero = {name: torch.zeros_like(value) for name, value in noise.items()}
    fine = prior.sample(zero, choice, given={"local": zero["local"]})["fine"]
    assert torch.pdist(fine[0, :3]).min() > 1e-3


@every_kind
@every_subset
def test_rows_are_independent(subset, variant):
    prior = build(subset, kind=variant)
    noise, choice = numbers(prior, 3)
    whole = prior.sample(noise, choice)
    one = prior.sample({k: v[1:2] for k, v in noise.items()}, {k: v[1:2] for k, v in choice.items()})
    q = posteriors(prior, 3)
    kl = prior.kl(q)
    kl_of_one = prior.kl({name: Posterior(*(part[1:2] for part in q[name])) for name in q})
    for name in whole:
        torch.testing.assert_close(one[name], whole[name][1:2])
        torch.testing.assert_close(kl_of_one[name], kl[name][1:2])


@every_kind
def test_padding_costs_nothing_and_changes_nothing(variant):
    prior = build(kind=variant)
    q = posteriors(prior)
    masked = {}
    for name, full in q.items():
        real = torch.ones_like(full.real)
        real[1, full.real.shape[1] // 2 + 1 :] = False
        wild = torch.where(real[..., None], full.z, 1e3)
        masked[name] = Posterior(full.mean, full.log_variance, wild, real)
    padded, expected = prior.kl(masked), prior.kl(q)
    for name, kl in padded.items():
        torch.testing.assert_close(kl[masked[name].real], expected[name][masked[name].real])
        assert not kl[~masked[name].real].any()
    assert not masked["fine"].real.all()


@every_kind
def test_latents_learn_to_be_predicted_and_to_predict(variant):
    """Gradients reach every parameter, and each latent through its own divergence and that of those which follow."""
    prior = build(kind=variant, conditions=("key",))
    q = posteriors(prior)
    drawn = {name: full.z.clone().requires_grad_() for name, full in q.items()}
    prior.kl({name: q[name]._replace(z=drawn[name]) for name in q}, torch.tensor([[3], [-1]]))["fine"].sum().backward()
    assert drawn["local"].grad.any(-1).all()
    assert drawn["fine"].grad[:, :-1].any(-1).all()
    prior.zero_grad()
    sum(kl.sum() for kl in prior.kl(q, torch.tensor([[3], [-1]])).values()).backward()
    assert [name for name, parameter in prior.named_parameters() if parameter.grad is None] == []


def test_half_precision_around_it_changes_nothing():
    prior = build().float()
    q = {name: Posterior(*(part.float() for part in full[:3]), full.real) for name, full in posteriors(prior).items()}
    expected = prior.kl(q)
    with torch.autocast("cpu", torch.bfloat16):
        found = prior.kl(q)
        half = {name: Posterior(*(part.bfloat16() for part in full[:3]), full.real) for name, full in q.items()}
        assert prior.kl(half)["fine"].dtype == torch.float32
    for name, kl in found.items():
        assert torch.equal(kl, expected[name])


def test_conditions_steer_the_global_latent_and_are_unknown_by_default():
    prior = build(conditions=("key", "tempo"))
    noise, choice = numbers(prior, 3)
    values = torch.tensor([[3, 5], [3, -1], [-1, -1]])
    steered, free = (prior.sample(noise, choice, conditions=known) for known in (values, None))
    differs = (steered["global"] - free["global"]).abs().amax((1, 2))
    assert differs[:2].min() > 1e-3
    assert differs[2] == 0
    densities = prior.log_prob(free, values)["global"], prior.log_prob(free)["global"]
    assert (densities[0] != densities[1]).flatten().tolist() == [True, True, False]
    # Lower levels hear of conditions only by way of the global latent.
    same = prior.sample(noise, choice, conditions=values, given={"global": free["global"]})
    torch.testing.assert_close(same["local"], free["local"])


def test_conditions_are_forgotten_in_training_only():
    torch.manual_seed(0)
    prior = build(conditions=("key", "tempo"))
    q = posteriors(prior, 200)
    q = {name: Posterior(*(part[:1].expand_as(part) for part in full)) for name, full in q.items()}
    values = torch.tensor([[3, 5]]).expand(200, -1)
    assert prior.kl(q, values)["global"].unique().numel() == 1
    assert prior.train().kl(q, values)["global"].unique().numel() == 4


def test_segments_must_nest():
    with pytest.raises(ValueError, match="divide"):
        LatentPrior((GLOBAL, LOCAL, Level("fine", 3, 5)), kind=GAUSSIAN, lower_kind=GAUSSIAN, d_hidden=8)


@pytest.mark.parametrize("kind", [GAUSSIAN, {"kind": "flow"}], ids=["gaussian", "flow"])
def test_learns_how_latents_follow_each_other_and_from_above(kind):
    """Local latents that follow from the last one and the global one: their true density is known."""
    torch.manual_seed(0)
    levels = (Level("global", 2), Level("local", 2, 12))
    prior = LatentPrior(levels, kind=GAUSSIAN, lower_kind=kind, d_hidden=32)
    optimizer = torch.optim.Adam(prior.parameters(), 0.015)

    def piece(batch):
        top, local = torch.randn(batch, 1, 2), [torch.zeros(batch, 2)]
        for _ in range(8):
            local.append(0.6 * local[-1] + 0.8 * top[:, 0] + 0.3 * torch.randn(batch, 2))
        return {"global": top, "local": torch.stack(local[1:], 1)}

    for _ in range(150):
        optimizer.zero_grad()
        (-prior.log_prob(piece(32))["local"].mean()).backward()
        optimizer.step()
    with torch.no_grad():
        found = prior.log_prob(piece(500))["local"].mean()
    truth = -2 * Normal(0, 0.3).entropy()
    assert truth - 0.25 < found < truth + 0.1
