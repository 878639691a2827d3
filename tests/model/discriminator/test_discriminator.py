import copy

import pytest
import torch

from aurl.errors import UsageError
from aurl.model.discriminator import Discriminator

VOCABULARY, D_EMBEDDING, LATENT_SIZE = 779, 24, 16
STAGES = {
    1: ["scale_32"],
    2: ["scale_32", "scale_128"],
    3: ["scale_32", "scale_128", "scale_256", "music", "latent"],
    4: ["scale_32", "scale_128", "scale_256", "music", "latent"],
}


def build(**options):
    torch.manual_seed(0)
    return Discriminator(D_EMBEDDING, **{"d_model": 16, "n_layers": 2, "latent_size": LATENT_SIZE, **options})


def table(seed=0):
    return torch.randn(VOCABULARY, D_EMBEDDING, generator=torch.Generator().manual_seed(seed))


def random_ids(batch, length, seed=0):
    return torch.randint(774, (batch, length), generator=torch.Generator().manual_seed(seed))


def one_hots_of(ids):
    return torch.nn.functional.one_hot(ids, VOCABULARY).float()


def random_latents(batch, n, seed=0):
    return torch.randn(batch, n, LATENT_SIZE, generator=torch.Generator().manual_seed(seed))


def everything_real(ids):
    return torch.ones_like(ids, dtype=torch.bool)


def hear(discriminator, ids, **options):
    options = {"real": everything_real(ids), "locals_": random_latents(len(ids), 3), **options}
    return discriminator(ids, table(), **options)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 128, 300, 600])
@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_hears_its_parts_and_gives_a_score_for_each_row(stage, length):
    discriminator, ids = build(), random_ids(3, length)
    from_ids = hear(discriminator, ids, stage=stage)
    from_one_hots = hear(discriminator.eval(), one_hots_of(ids), stage=stage, real=everything_real(ids))
    assert [view.name for view in from_ids] == STAGES[stage]
    for view, same in zip(from_ids, from_one_hots, strict=True):
        assert view.score.shape == same.score.shape == (3, 1)
        assert view.score.dtype == torch.float32
        assert view.score.isfinite().all()
        assert [feature.shape for feature in view.features] == [feature.shape for feature in same.features]
        assert len(view.features) == 3


def test_scales_must_be_even():
    with pytest.raises(UsageError, match="33"):
        build(scales=(33,))


def scores_of(views):
    return {view.name: view.score for view in views}


def linear_layers(discriminator):
    return {name: part for name, part in discriminator.named_modules() if isinstance(part, torch.nn.Linear)}


def largest_singular_value(layer):
    return torch.linalg.svdvals(layer.weight.detach().double())[0].item()


def hinge(real, fake):
    pairs = zip(real, fake, strict=True)
    return sum(((1 - a.score).relu() + (1 + b.score).relu()).mean() for a, b in pairs)


@pytest.mark.parametrize("lr", [2e-4, 2e-3])
def test_every_linear_layer_has_norm_one_at_first_and_while_it_learns(lr):
    discriminator = build(d_model=32, scales=(32,))
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.9))
    layers, ids = linear_layers(discriminator), random_ids(4, 64)
    assert len(layers) == 5 + 4 + 4
    assert {id(part) for part in discriminator.modules() if any(p.dim() == 2 for p in part._parameters.values())} <= {
        id(layer.parametrizations["weight"]) for layer in layers.values()
    }
    started = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    for step in range(10):
        views = [hear(discriminator, x, locals_=random_latents(4, 3, step)) for x in (ids, random_ids(4, 64, step + 1))]
        optimizer.zero_grad()
        hinge(*views).backward()
        optimizer.step()
        for training in (False, True):
            discriminator.train(training)
            norms = {name: largest_singular_value(layer) for name, layer in layers.items()}
            assert norms == pytest.approx(dict.fromkeys(layers, 1.0), abs=0.01)
        discriminator.train()
    assert all((layer.weight - started[name]).norm() > 1e-3 for name, layer in layers.items())


@pytest.mark.parametrize("length", [1, 20, 40, 200])
def test_what_is_behind_the_end_changes_nothing(length):
    discriminator, ids = build().eval().requires_grad_(requires_grad=False), random_ids(2, length)
    latents, more = random_latents(2, 2), torch.cat([ids, random_ids(2, 300, seed=1)], 1)
    real = (torch.arange(length + 300) < length).expand(2, -1)
    padded = torch.cat([latents, random_latents(2, 3, 9)], 1), (torch.arange(5) < 2).expand(2, -1)
    expected = hear(discriminator, ids, locals_=latents)
    found = hear(discriminator, more, real=real, locals_=padded[0], locals_real=padded[1])
    for view, same in zip(expected, found, strict=True):
        torch.testing.assert_close(same.score, view.score, rtol=0, atol=1e-5)
        for feature, other in zip(view.features, same.features, strict=True):
            torch.testing.assert_close(other.abs().sum(), feature.abs().sum(), rtol=1e-3, atol=1e-4)


def test_rows_never_meet():
    discriminator, ids, latents = build().eval(), random_ids(3, 300), random_latents(3, 3)
    together = scores_of(hear(discriminator, ids, locals_=latents))
    for row in range(3):
        alone = scores_of(hear(discriminator, ids[row : row + 1], locals_=latents[row : row + 1]))
        for name, score in alone.items():
            torch.testing.assert_close(score[0], together[name][row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [32, 128])
def test_a_window_is_heard_alike_wherever_it_is(scale):
    discriminator = build(scales=(scale,), musical_features=False).eval()
    half = random_ids(1, scale // 2)
    scores = [hear(discriminator, half.repeat(1, times), stage=1)[0].score for times in (2, 3, 7)]
    torch.testing.assert_close(scores[1], scores[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(scores[2], scores[0], rtol=0, atol=1e-5)
    turned = half.flip(1).repeat(1, 2)
    assert (hear(discriminator, turned, stage=1)[0].score - scores[0]).abs() > 1e-3


def test_order_is_heard_by_every_part():
    discriminator, ids, latents = build().eval(), random_ids(2, 300), random_latents(2, 6)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(3))
    expected = scores_of(hear(discriminator, ids, locals_=latents))
    found = scores_of(hear(discriminator, ids[:, order], locals_=latents.flip(1)))
    assert all((found[name] - score).abs().min() > 1e-4 for name, score in expected.items())


def test_one_latent_is_enough_and_none_is_silence():
    discriminator, ids = build(), random_ids(2, 40)
    assert "latent" in scores_of(hear(discriminator, ids, locals_=random_latents(2, 1)))
    assert "latent" not in scores_of(hear(discriminator, ids, locals_=None))
    assert "latent" not in scores_of(hear(build(latent_size=0), ids))
    assert "music" not in scores_of(hear(build(musical_features=False), ids))


@pytest.mark.parametrize("name", STAGES[3])
def test_gradient_of_each_part_reaches_what_is_real_and_nothing_else(name):
    discriminator, ids = build(), random_ids(2, 150)
    one_hots, latents = one_hots_of(ids).requires_grad_(), random_latents(2, 3).requires_grad_()
    generators = table().requires_grad_()
    real = torch.arange(150).expand(2, -1) < torch.tensor([[150], [70]])
    views = discriminator(one_hots, generators, real=real, locals_=latents)
    scores_of(views)[name].sum().backward()
    assert generators.grad is None
    if name == "latent":
        assert (latents.grad.abs().amax(-1) > 0).all()
        return
    reached = one_hots.grad.abs().amax(-1)
    assert reached[~real].eq(0).all()
    assert (reached[real] > 0).float().mean() > 0.9


def test_what_is_not_heard_costs_nothing():
    discriminator, ids = build(), random_ids(2, 300)
    sum(view.score.sum() for view in hear(discriminator, ids, stage=2)).backward()
    trained = {name.split(".")[1] for name, p in discriminator.named_parameters() if p.grad is not None}
    assert trained == {"scale_32", "scale_128"}


def test_half_precision_keeps_norms_and_scores():
    discriminator, ids = build(), random_ids(2, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        views = hear(discriminator, one_hots_of(ids), real=everything_real(ids))
    assert any(feature.dtype == torch.bfloat16 for view in views for feature in view.features)
    assert all(view.score.dtype == torch.float32 for view in views)
    for layer in linear_layers(discriminator.eval()).values():
        assert largest_singular_value(layer) == pytest.approx(1, abs=0.01)
    for name, score in scores_of(hear(discriminator, ids)).items():
        half = scores_of(views)[name]
        torch.testing.assert_close(half, score, rtol=0.05, atol=0.05)


def test_a_copy_follows_its_own_weights():
    copied = copy.deepcopy(build())
    for layer in linear_layers(copied).values():
        with torch.no_grad():
            layer.parametrizations["weight"].original += 0.3 * torch.randn(layer.weight.shape)
        assert largest_singular_value(layer) == pytest.approx(1, abs=0.01)


def test_weights_come_back_as_they_were():
    discriminator, ids = build(), random_ids(2, 100)
    hinge(hear(discriminator, ids), hear(discriminator, ids)).backward()
    torch.optim.SGD(discriminator.parameters(), 0.1).step()
    expected = scores_of(hear(discriminator.eval(), ids))
    torch.manual_seed(99)
    other = Discriminator(D_EMBEDDING, d_model=16, n_layers=2, latent_size=LATENT_SIZE).eval()
    other.load_state_dict(discriminator.state_dict())
    found = scores_of(hear(other, ids))
    for name, score in expected.items():
        torch.testing.assert_close(found[name], score, rtol=0, atol=1e-6)
