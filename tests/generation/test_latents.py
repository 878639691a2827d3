"""Latents of a piece depend on its seed alone, and go on for as long as it does."""

import numpy as np
import pytest
import torch
from tests.support.latent_models import FLAT, small_vae

from aurl.generation.latents import CHOICE, NOISE, TOKENS_AT_ONCE, PieceLatents, largest_segment, numbers
from aurl.generation.sampling.sampler import Draws
from aurl.model.prior import PRIORS

KINDS = [{"prior": {"kind": kind}, "lower_prior": {"kind": kind}} for kind in PRIORS.kinds()]
LENGTHS = [1, 30, 65, 1000, 1025, 2500]


def equal(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


@pytest.mark.parametrize("options", [*KINDS, FLAT])
def test_it_does_not_matter_in_which_portions_they_are_asked_for(options):
    model = small_vae(**options)
    portions = PieceLatents(model, 5)
    for length in LENGTHS:
        found = portions.first(length)
        for level in model.levels:
            assert found[level.name].shape[1] >= level.count(length)
    assert equal(PieceLatents(model, 5).first(2500), found)
    assert not equal(PieceLatents(model, 6).first(2500), found)


def test_they_are_what_the_prior_makes_of_the_seeds_numbers():
    """Drawn all at once, by numbers that are drawn one by one, the prior says the same up to rounding."""
    model = small_vae()
    found = PieceLatents(model, 9).first(TOKENS_AT_ONCE + 1)
    noise, choice = {}, {}
    for place, level in enumerate(model.levels):
        normal, uniform = numbers(9, place, NOISE), numbers(9, place, CHOICE)
        count = level.count(2 * TOKENS_AT_ONCE)
        rows = [normal.standard_normal(level.size, np.float32) for _ in range(count)]
        noise[level.name] = torch.from_numpy(np.stack(rows))[None]
        choice[level.name] = torch.tensor([[uniform.random(dtype=np.float32) for _ in range(count)]])
    with torch.inference_mode():
        whole = model.prior.sample(noise, choice)
    for name, latents in whole.items():
        torch.testing.assert_close(found[name], latents, rtol=1e-4, atol=1e-4)


def test_numbers_of_latents_are_not_those_of_ids():
    """Nor are those of one level or purpose those of another."""
    drawn = [numbers(3, level, purpose).random(1000) for level in range(3) for purpose in range(3)]
    ids = Draws([3])
    drawn.append(np.array([ids.step()[0] for _ in range(1000)]))
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 5 / np.sqrt(1000)


def test_what_is_given_comes_first_and_the_rest_follows_from_it():
    model = small_vae()
    other = PieceLatents(model, 1).first(200)
    given = {"global": other["global"], "local": other["local"][:, :3], "fine": other["fine"][:, :7]}
    continued = PieceLatents(model, 2, given=given).first(200)
    for name, latents in given.items():
        assert torch.equal(continued[name][:, : latents.shape[1]], latents)
    plain = PieceLatents(model, 2).first(200)
    assert not torch.isclose(continued["local"][:, 3:], plain["local"][:, 3:]).all(), "the prior knows the past"
    partly = PieceLatents(model, 2, given={"global": other["global"]}).first(200)
    assert torch.equal(partly["global"], other["global"])
    assert not torch.equal(partly["local"], plain["local"])


def test_the_prior_goes_on_with_the_last_of_several_global_latents():
    model = small_vae()
    other = PieceLatents(model, 1).first(200)
    first, last = other["global"] + 3, other["global"]
    lower = {name: other[name][:, :2] for name in ("local", "fine")}
    several = PieceLatents(model, 2, given={"global": torch.cat([first, last], 1), **lower}, begins=[0, 40]).first(200)
    expected = PieceLatents(model, 2, given={"global": last, **lower}).first(200)
    assert torch.equal(several["global"], torch.cat([first, last], 1))
    assert all(torch.equal(several[name], expected[name]) for name in lower)


def test_more_may_be_given_than_is_asked_for():
    model = small_vae()
    given = PieceLatents(model, 1).first(1025)
    kept = PieceLatents(model, 2, given=given).first(10)
    assert all(torch.equal(kept[name][:, : part.shape[1]], part) for name, part in given.items())


@pytest.mark.parametrize("options", [{}, FLAT, {"fine_size": 0}])
@pytest.mark.parametrize("begin", [0, 8, 37, 64, 1000])
def test_a_stream_is_a_part_of_the_stream_of_all(options, begin):
    model = small_vae(**options)
    latents = PieceLatents(model, 4)
    with torch.inference_mode():
        whole = model.stream(latents.first(2000), torch.arange(1500))
    torch.testing.assert_close(latents.stream(begin, 64), whole[:, begin : begin + 64], rtol=1e-4, atol=1e-4)


def test_temperature_draws_latents_together():
    model = small_vae(**FLAT)

    def spread(temperature):
        pieces = [PieceLatents(model, seed, temperature=temperature).first(100)["global"] for seed in range(20)]
        return float(torch.cat(pieces).std(0).mean())

    assert spread(0.0) == pytest.approx(0.0, abs=1e-6)
    assert spread(0.5) == pytest.approx(0.5 * spread(1.0), rel=1e-3)
    assert spread(1.0) > 0.5


def test_the_largest_segment():
    levels = small_vae().levels
    assert [largest_segment(levels, most) for most in (None, 32, 31, 15)] == [32, 32, 16, 1]
    assert largest_segment(()) == largest_segment(levels[:1]) == 1


def test_a_shift_is_where_the_model_is():
    """Directions are read on the CPU."""
    model = small_vae(packed=False).to("meta")
    given = {
        level.name: torch.empty(1, level.count(2 * TOKENS_AT_ONCE), level.size, device="meta") for level in model.levels
    }
    found = PieceLatents(model, 0, given=given, shift={"local": torch.ones(16)}).first(TOKENS_AT_ONCE)
    assert {latents.device.type for latents in found.values()} == {"meta"}
