import pytest
import torch
from tests.support.attention import OPTIONS

from aurl.model.attention import ATTENTION
from aurl.model.latents import Level
from aurl.model.latents.encoder import Encoder

D_MODEL = 32
GLOBAL, LOCAL, FINE = Level("global", 16), Level("local", 18, 16), Level("fine", 20, 8)
COMBINATIONS = [(GLOBAL, LOCAL, FINE), (GLOBAL, FINE), (GLOBAL, LOCAL), (GLOBAL,)]
combinations = pytest.mark.parametrize("levels", COMBINATIONS, ids=lambda levels: "+".join(v.name for v in levels))
every_kind = pytest.mark.parametrize("kind", ATTENTION.kinds())


def build(levels=COMBINATIONS[0], kind="sliding_window", **options):
    torch.manual_seed(0)
    options = {"attention": OPTIONS, **options}
    encoder = Encoder(D_MODEL, levels, n_heads=2, d_hidden=64, pattern=(kind,), **options).eval()
    for head in encoder.heads.values():  # variances, too, are to depend on the music
        torch.nn.init.normal_(head.log_variance.weight, std=0.1)
    return encoder


def random_input(*lengths):
    """Vectors, times and what is real; what lies behind the end of a row is noise."""
    generator = torch.Generator().manual_seed(sum(lengths))
    x = torch.randn(len(lengths), max(lengths), D_MODEL, generator=generator)
    elapsed_steps = torch.randint(0, 9, x.shape[:2], generator=generator).cumsum(1)
    return x, elapsed_steps, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def assert_same(found, expected, row, **tolerance):
    """Distributions of the real latents of one row."""
    for name, posterior in expected.items():
        for part in ("mean", "log_variance"):
            real = found[name].real[row]
            one = getattr(found[name], part)[row][real]
            torch.testing.assert_close(one, getattr(posterior, part)[0], **tolerance)


def changed(encoder, x, elapsed_steps, real, position):
    """Level → which latents notice a change at one position."""
    other = x.clone()
    other[:, position] *= -1
    before, after = encoder(x, elapsed_steps, real), encoder(other, elapsed_steps, real)
    return {name: ((after[name].mean - before[name].mean).abs() > 1e-6).any(-1)[0].tolist() for name in before}


@combinations
@every_kind
@torch.no_grad()
def test_a_row_is_the_same_alone_and_with_padding_behind_it(kind, levels):
    encoder, lengths = build(levels, kind), (50, 37, 16, 1)
    x, elapsed_steps, real = random_input(*lengths)
    together = encoder(x, elapsed_steps, real)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1), slice(length)
        assert_same(together, encoder(x[one], elapsed_steps[one], real[one]), row, rtol=0, atol=1e-5)
    assert not torch.allclose(together["global"].mean[0], together["global"].mean[1], atol=0.1)


@combinations
@torch.no_grad()
def test_latents_are_real_where_any_of_their_tokens_is(levels):
    lengths = (33, 32, 17, 8, 1)
    found = build(levels)(*random_input(*lengths))
    assert list(found) == [level.name for level in levels]
    for level in levels:
        mean, log_variance, z, real = found[level.name]
        assert mean.shape == log_variance.shape == z.shape == (5, level.count(33), level.size)
        expected = [[number < level.count(length) for number in range(level.count(33))] for length in lengths]
        assert real.tolist() == expected
        assert all(part.isfinite().all() for part in found[level.name][:3])


@every_kind
@torch.no_grad()
def test_every_token_is_heard_by_its_own_latents(kind):
    encoder, given = build(kind=kind), random_input(41)
    for position in (0, 7, 8, 23, 40):
        noticed = changed(encoder, *given, position)
        assert noticed["global"][0]
        assert noticed["local"][position // 16]
        assert noticed["fine"][position // 8]


@torch.no_grad()
def test_layers_over_tokens_see_so_far_as_their_window():
    encoder = build(attention={"sliding_window": {"window": 4}}, segment_layers=0)
    given = random_input(48)
    # Fine latents of 8 tokens: what happens at 18 is heard by 14…22, at 20 by 16…24, at 22 by 18…26.
    for position, fine, local in ((18, [1, 2], [0, 1]), (20, [2, 3], [1]), (22, [2, 3], [1]), (46, [5], [2])):
        noticed = changed(encoder, *given, position)
        assert [number for number, yes in enumerate(noticed["fine"]) if yes] == fine
        assert [number for number, yes in enumerate(noticed["local"]) if yes] == local


@torch.no_grad()
def test_layers_over_segments_see_everything():
    encoder = build(attention={"sliding_window": {"window": 4}}, segment_layers=1)
    noticed = changed(encoder, *random_input(48), 46)
    assert all(all(numbers) for numbers in noticed.values())


@torch.no_grad()
def test_what_lies_behind_the_end_is_not_heard():
    encoder, (x, elapsed_steps, real) = build(), random_input(48, 20)
    other = x.clone()
    other[1, 20:] = 100.0
    later = elapsed_steps.clone()
    later[1, 20:] += 1000
    before, after = encoder(x, elapsed_steps, real), encoder(other, later, real)
    for name in before:
        kept = before[name].real
        torch.testing.assert_close(after[name].mean[kept], before[name].mean[kept])


@torch.no_grad()
def test_time_is_heard():
    encoder, (x, elapsed_steps, real) = build(), random_input(48)
    slower = encoder(x, elapsed_steps * 3, real)
    for name, posterior in encoder(x, elapsed_steps, real).items():
        assert not torch.allclose(slower[name].mean, posterior.mean, atol=1e-3)
        # but not at what hour it was
        torch.testing.assert_close(encoder(x, elapsed_steps + 384, real)[name].mean, posterior.mean, rtol=0, atol=1e-4)


@combinations
@torch.no_grad()
def test_means_begin_as_large_as_standard_normal_draws_and_told_apart(levels):
    torch.manual_seed(0)
    encoder = Encoder(64, levels, n_heads=2, d_hidden=128, initial_log_variance=-3.0).eval()
    x = torch.nn.functional.layer_norm(torch.randn(60, 40, 64), (64,))
    found = encoder(x, torch.arange(40).expand(60, -1), torch.ones(60, 40, dtype=torch.bool))
    for posterior in found.values():
        assert posterior.mean.square().mean() == pytest.approx(1, abs=0.3)
        assert posterior.mean.var((0, 1)).mean() > 0.25
        assert (posterior.log_variance == -3).all()


@combinations
@pytest.mark.parametrize("length", [1, 40])
def test_every_parameter_has_a_gradient(levels, length):
    encoder = build(levels).train()
    sum(posterior.z.sum() for posterior in encoder(*random_input(length, 1)).values()).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []
    if length > 1:
        assert [name for name, parameter in encoder.named_parameters() if not parameter.grad.any()] == []


@torch.no_grad()
def test_batch_norm_reaches_every_level_and_only_what_is_real():
    encoder = build(batch_norm=True).train()
    for posterior in encoder(*random_input(50, 37, 16)).values():
        means = posterior.mean[posterior.real]
        torch.testing.assert_close(means.mean(0), torch.zeros(means.shape[1]), rtol=0, atol=1e-5)
        torch.testing.assert_close(means.var(0, correction=0), torch.ones(means.shape[1]), rtol=0, atol=0.02)
