"""Which latents a piece begins with: its prompt's, then those of the song that it is to be like, then the prior's."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tests.support.latent_models import FLAT, small_vae
from tests.support.tunes import tune

from aurl.errors import UsageError
from aurl.generation.encoding import encode
from aurl.generation.latents import PieceLatents
from aurl.generation.source import LatentSource
from aurl.midi.score import Tempos
from aurl.model.prior.conditions import conditions_of
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS

CONTEXT = 64
SONG, OTHER = (Codec().encode(tune(seed)).ids.tolist()[:300] for seed in (1, 2))


def starts(found, expected):
    return torch.equal(found[:, : expected.shape[1]], expected)


def test_without_songs_all_is_the_priors():
    model = small_vae()
    found = LatentSource(model, context=CONTEXT, prompt=[BOS])(3).first(200)
    plain = PieceLatents(model, 3).first(200)
    assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_segments_that_a_prompt_fills_are_encoded_from_it():
    """Of 57 ids 56 are followed by a known one: one local segment of 32 and three fine ones of 16 are full."""
    model, prompt = small_vae(), SONG[:57]
    source, means = LatentSource(model, context=CONTEXT, prompt=prompt), encode(model, prompt, context=CONTEXT).mean
    found, other = source(3).first(200), source(4).first(200)
    for name, count in (("global", 1), ("local", 1), ("fine", 3)):
        assert starts(found[name], means[name][:, :count])
        assert starts(other[name], means[name][:, :count])
    for name, count in (("local", 1), ("fine", 3)):
        assert not torch.isclose(found[name][:, count], other[name][:, count]).all()


def test_a_prompt_that_fills_nothing_tells_nothing():
    model = small_vae()
    found = LatentSource(model, context=CONTEXT, prompt=SONG[:16])(3).first(100)
    assert torch.equal(found["global"], PieceLatents(model, 3).first(100)["global"])


def test_a_song_lends_all_its_latents():
    model = small_vae()
    source = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG)
    encoding = encode(model, SONG, context=CONTEXT)
    for name, mean in encoding.mean.items():
        assert starts(source(3).first(500)[name], mean)
    varied = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG, variation=2.0)
    for seed in (3, 4):
        for name, latents in encoding.draw(seed, 2.0).items():
            assert starts(varied(seed).first(500)[name], latents)


def test_a_prompt_goes_on_like_a_song():
    """The song begins with the segment after the last that the prompt fills on every level, here after 32 of 57 ids."""
    model, prompt = small_vae(), SONG[:57]
    found = LatentSource(model, context=CONTEXT, prompt=prompt, like=OTHER)(3).first(300)
    begun, song = (encode(model, ids, context=CONTEXT).mean for ids in (prompt, OTHER))
    assert torch.equal(found["global"], torch.cat([begun["global"], song["global"]], 1))
    assert starts(found["local"], torch.cat([begun["local"][:, :1], song["local"]], 1))
    assert starts(found["fine"], torch.cat([begun["fine"][:, :3], song["fine"][:, 1:]], 1))


@pytest.mark.parametrize("options", [{}, FLAT])
def test_each_global_latent_holds_for_what_its_window_adds(options):
    """The prompt's to the end of the last segment that it fills on every level, then the song's, one after another."""
    model = small_vae(**options)
    latents = LatentSource(model, context=CONTEXT, prompt=SONG[:57], like=OTHER)(3)
    start = 56 if options else 32
    begun, song = (encode(model, ids, context=CONTEXT) for ids in (SONG[:57], OTHER))
    assert len(song.begins) > 3
    everything = latents.first(400)
    for begin, stop, vector in [
        (0, start, begun.mean["global"]),
        *(
            (start + first, start + last, song.mean["global"][:, number, None])
            for number, (first, last) in enumerate(pairwise([*song.begins, 400 - start]))
        ),
    ]:
        with torch.inference_mode():
            expected = model.stream({**everything, "global": vector}, torch.arange(begin, stop))
        torch.testing.assert_close(latents.stream(begin, stop - begin), expected, rtol=1e-4, atol=1e-4)
        middle = (begin + stop) // 2
        torch.testing.assert_close(
            latents.stream(middle, 100)[:, : stop - middle], expected[:, middle - begin :], rtol=1e-4, atol=1e-4
        )


def test_a_prompt_has_one_latent_for_all():
    model = small_vae(**FLAT)
    alone = LatentSource(model, context=CONTEXT, prompt=SONG[:57])(3).first(300)
    assert torch.equal(alone["global"], encode(model, SONG[:57], context=CONTEXT).mean["global"])


def test_the_prior_is_told_what_the_header_says():
    """Of the prompt if there is one, else of the song; of a new piece nothing is known yet."""
    names = ("key", "tempo", "time_signature")
    model = small_vae(conditions=names)
    prompt = Codec().encode(replace(tune(1), tempos=Tempos([0], [500_000]))).ids.tolist()[:12]
    told = conditions_of(torch.tensor([prompt]), names)
    assert told.tolist()[0][1] > 0

    def drawn(conditions):
        return PieceLatents(model, 3, conditions=conditions).first(64)["global"]

    found = LatentSource(model, context=CONTEXT, prompt=prompt)(3).first(64)["global"]
    nothing = LatentSource(model, context=CONTEXT, prompt=[BOS])(3).first(64)["global"]
    assert torch.equal(found, drawn(told))
    assert torch.equal(nothing, drawn(None))
    assert not torch.isclose(nothing, found).all()


def test_a_style_is_told_to_the_prior():
    model = small_vae(conditions=("key",), styles=("Bach", "Mozart"))

    def drawn(**options):
        return LatentSource(model, context=CONTEXT, prompt=[BOS], **options)(3).first(64)["global"]

    bach, mozart, unknown = (drawn(style=style) for style in (0, 1, -1))
    told = PieceLatents(model, 3, conditions=torch.tensor([[-1, 1]])).first(64)["global"]
    assert torch.equal(mozart, told)
    assert torch.equal(unknown, drawn())
    assert not any(torch.isclose(one, other).all() for one, other in [(bach, mozart), (bach, unknown)])


@pytest.mark.parametrize("kept", [["global"], ["global", "local"]])
def test_what_is_kept_of_a_song_is_the_songs_and_the_prior_adds_the_rest_to_it(kept):
    model = small_vae()
    encoding = encode(model, SONG, context=CONTEXT)
    source = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG, keep=kept)
    found, other = source(3).first(500), source(4).first(500)
    for name in kept:
        assert starts(found[name], encoding.mean[name])
    free = next(name for name in ("local", "fine") if name not in kept)
    assert found[free].shape == other[free].shape
    assert not torch.isclose(found[free], other[free]).all()
    plain = LatentSource(model, context=CONTEXT, prompt=[BOS])(3).first(500)
    assert not torch.isclose(found[free], plain[free]).all(), "what is drawn follows from what is kept"


def test_lower_levels_follow_from_the_global_latent_that_holds_there():
    """Not from the last one of the song: the first 64 positions are those of its first window alone."""
    model = small_vae()
    song = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG, keep=["global"])(3).first(500)
    first = encode(model, SONG, context=CONTEXT).mean["global"][:, :1]
    alone = PieceLatents(model, 3, given={"global": first}).first(500)
    assert torch.allclose(song["local"][:, :2], alone["local"][:, :2], atol=1e-5)
    assert not torch.isclose(song["local"][:, 2:], alone["local"][:, 2:]).all()


def test_kept_lower_levels_stand_below_a_global_latent_of_the_prior():
    model = small_vae()
    found = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG, keep=["fine"])(3)
    assert starts(found.first(2500)["fine"], encode(model, SONG, context=CONTEXT).mean["fine"])
    assert torch.equal(found.first(2500)["global"], PieceLatents(model, 3).first(64)["global"])
    assert found.stream(0, 100).shape[1] == 100


def test_a_prompt_goes_on_with_what_is_kept():
    model = small_vae()
    source = LatentSource(model, context=CONTEXT, prompt=SONG[:57], like=OTHER, keep=["global"])
    begun, song = (encode(model, ids, context=CONTEXT).mean for ids in (SONG[:57], OTHER))
    found = source(3).first(300)
    assert torch.equal(found["global"], torch.cat([begun["global"], song["global"]], 1))
    assert starts(found["local"], begun["local"][:, :1])
    local = LatentSource(model, context=CONTEXT, prompt=SONG[:57], like=OTHER, keep=["local"])(3).first(300)
    assert torch.equal(local["global"], begun["global"])
    assert starts(local["local"], torch.cat([begun["local"][:, :1], song["local"]], 1))


def test_a_level_that_the_model_has_not_cannot_be_kept():
    with pytest.raises(UsageError, match="no level 'lokal'") as error:
        LatentSource(small_vae(), context=CONTEXT, prompt=[BOS], like=SONG, keep=["lokal"])
    assert "global, local, fine" in error.value.hint


def test_the_way_to_another_song_begins_and_ends_with_the_songs_themselves():
    model = small_vae()
    source = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG, toward=OTHER, variation=0.5)
    for place, song in ((0.0, SONG), (1.0, OTHER)):
        alone = LatentSource(model, context=CONTEXT, prompt=[BOS], like=song, variation=0.5)(3)
        assert torch.equal(source(3, place).stream(0, 400), alone.stream(0, 400))
    middle = source(3, 0.5).stream(0, 400)
    assert not any(torch.isclose(middle, source(3, place).stream(0, 400)).all() for place in (0.0, 1.0))


def test_a_shift_moves_all_latents_of_a_level_whoever_made_them():
    model = small_vae()
    shift = {"local": torch.full((16,), 2.0)}
    plain = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG)(3).first(2500)
    moved = LatentSource(model, context=CONTEXT, prompt=[BOS], like=SONG, shift=shift)(3)
    for name, latents in moved.first(2500).items():
        assert torch.equal(latents, plain[name] + (2.0 if name == "local" else 0.0))
    assert torch.equal(moved.first(2500)["local"], plain["local"] + 2.0), "once, however often it is asked for"
