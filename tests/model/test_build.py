"""Models and discriminators as profiles describe them."""

from itertools import pairwise

import pytest
import torch

from aurl.model.build import build_discriminator, build_model, describe
from aurl.profile import SIZES, list_profiles, load_profile
from aurl.tokens.codec import Codec

PACKAGED = [listed.name for listed in list_profiles() if listed.packaged]
MODES = ("transformer", "vae", "vae_gan")


def codec_of(profile):
    return Codec(time_base=profile.tokens.time_base, parts=profile.tokens.parts, header=profile.tokens.header)


@pytest.mark.parametrize("name", PACKAGED)
@pytest.mark.parametrize("mode", MODES)
def test_every_shipped_profile_is_described_in_every_mode(mode, name):
    profile = load_profile([name, mode])
    described = describe(profile)
    assert profile.model.mode == mode
    assert described.training_bytes > described.weight_bytes > 0
    assert all(part.forward_flops_per_token > 0 for part in described.parts.values())
    assert ("prior" in described.parts) == (mode != "transformer")
    assert ("discriminator.music" in described.parts) == (mode == "vae_gan")


@pytest.mark.parametrize("mode", MODES)
def test_sizes_are_ordered_in_every_part(mode):
    sizes = [describe(load_profile([mode, size])) for size in SIZES]
    for part in sizes[0].parts:
        parameters = [found.parts[part].parameters for found in sizes]
        assert parameters == sorted(parameters)
    totals = [found.total_parameters for found in sizes]
    assert all(larger > 2 * smaller for smaller, larger in pairwise(totals))


def test_a_size_that_is_named_later_replaces_all_of_one_named_before():
    for size in SIZES:
        others = [other for other in SIZES if other != size]
        alone = load_profile([size]).values()
        assert load_profile([*others, size]).values() == alone
        assert load_profile(["vae", *others, size]) == load_profile([size, "vae"])


@pytest.mark.parametrize("mode", MODES)
def test_description_counts_what_is_built(mode):
    profile = load_profile([mode, "tiny"])
    codec = codec_of(profile)
    model = build_model(profile, codec)
    modules = [model] if mode != "vae_gan" else [model, build_discriminator(profile, model)]
    counted = sum(parameter.numel() for module in modules for parameter in module.parameters())
    assert describe(profile).total_parameters == counted
    ids = torch.tensor([[codec.vocabulary_size - 1]])
    logits = model(ids) if mode == "transformer" else model(ids, following=ids).logits
    assert logits.shape == (1, 1, codec.vocabulary_size)


def test_levels_are_those_that_have_a_size():
    model = build_model(load_profile(["vae", "tiny"], ["latent.local_size=0"]), Codec())
    assert [level.name for level in model.levels] == ["global", "fine"]
    assert build_model(load_profile(["tiny"]), Codec()).levels == ()


@pytest.mark.parametrize(
    ("overrides", "views"),
    [
        ((), ["scale_32", "scale_128", "scale_256", "music", "latent"]),
        (("discriminator.scales=[16]", "discriminator.musical_features=false"), ["scale_16", "latent"]),
        (("discriminator.latent_view=false",), ["scale_32", "scale_128", "scale_256", "music"]),
        (("latent.local_size=0",), ["scale_32", "scale_128", "scale_256", "music"]),
    ],
)
def test_a_discriminator_has_the_views_that_the_profile_names(overrides, views):
    profile = load_profile(["vae_gan", "tiny"], overrides)
    model = build_model(profile, Codec())
    discriminator = build_discriminator(profile, model)
    ids = torch.arange(100)[None]
    locals_ = torch.zeros(1, 1, 16) if "latent" in views else None
    found = discriminator(ids, model.embedding.tables().ids, real=ids >= 0, locals_=locals_)
    assert [view.name for view in found] == views


def test_a_discriminator_is_as_wide_and_deep_as_the_profile_says():
    profile = load_profile(["vae_gan", "tiny"], ["discriminator.width=24", "discriminator.depth=2"])
    discriminator = build_discriminator(profile, build_model(profile, Codec()))
    assert discriminator.music.course.enter.out_features == 24
    assert len(discriminator.music.course.layers) == 2
