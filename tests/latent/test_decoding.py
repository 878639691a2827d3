"""Latents that were made on purpose become music, each on its own, whatever it is decoded beside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.latent_models import SMALL, small_vae
from tests.support.tunes import tune

from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps
from aurl.generation.engine import Engine
from aurl.generation.latents import PieceLatents
from aurl.generation.load import Loaded
from aurl.generation.making import Making
from aurl.generation.pieces import each_piece
from aurl.generation.request import Request
from aurl.generation.sampling.sampler import Sampler
from aurl.generation.source import LatentSource
from aurl.latent.codes import Codes, LevelCodes
from aurl.latent.decoding import decode
from aurl.latent.interpolation import interpolate
from aurl.latent.traverse import dimension, principal, traverse
from aurl.model.build import build_model
from aurl.preprocess.excerpt import excerpt
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, STEPS_PER_BEAT

CODEC = Codec(time_base="beats", parts=False, header=())
STEPS = 2 * STEPS_PER_BEAT
PLAIN = load_profile(flags=SMALL).generation


def loaded_with(model, flags=SMALL):
    return Loaded(model, CODEC, load_profile(flags=flags), (), Path("run"), Path("step-1"), False, 0)


@pytest.fixture(scope="module")
def loaded():
    return loaded_with(small_vae(CODEC))


@pytest.fixture(scope="module")
def songs():
    """Four and six beats."""
    return [excerpt(tune(seed), 0, beats * 480)[0] for seed, beats in ((1, 4), (2, 6))]


def ids(score):
    return CODEC.encode(score).ids.tolist()


def steps_of(score):
    return elapsed_steps(ids(score))


def test_pieces_are_those_of_the_engine(loaded):
    """One by one, with the profile's sampling."""
    section = loaded.profile.generation
    pairs = [(seed, steps) for seed, steps in ((1, STEPS), (1, 3 * STEPS), (2, STEPS))]
    latents = [PieceLatents(loaded.model, 10 + number) for number in range(3)]
    found = decode(loaded, latents, steps=[steps for _, steps in pairs], seeds=[seed for seed, _ in pairs])
    for number, (seed, steps) in enumerate(pairs):
        engine = Engine(
            loaded.model,
            Grammar.of(CODEC, allow_zero_length=False),
            sampler=Sampler(temperature=section.temperature, top_k=section.top_k, top_p=section.top_p),
            context=64,
            max_note_steps=round(section.max_note_beats * STEPS_PER_BEAT),
        )
        batch = engine.start(
            seeds=[seed],
            length=lambda _, steps=steps: steps,
            may_end=False,
            latents=lambda _, number=number: PieceLatents(loaded.model, 10 + number),
        )
        assert list(batch)
        assert ids(found[number]) == ids(CODEC.decode(batch.pieces[0].ids))
    assert len({tuple(ids(score)) for score in found}) == 3


def test_the_ends_of_a_way_are_the_songs_own_pieces(loaded, songs):
    found = interpolate(loaded, *songs, steps=4, seed=5)
    assert found.places == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert len(found.scores) == 4
    for end, song in ((0, songs[0]), (-1, songs[1])):
        source = LatentSource(loaded.model, context=64, prompt=[BOS], like=ids(song))
        (alone,) = decode(loaded, [source(5)], steps=[steps_of(song)], seeds=[5])
        assert ids(found.scores[end]) == ids(alone)
    assert len({tuple(ids(score)) for score in found.scores}) == 4
    lengths = [steps_of(score) for score in found.scores]
    assert lengths[0] <= 4 * STEPS_PER_BEAT
    assert max(lengths) <= 6 * STEPS_PER_BEAT


def test_a_way_on_which_all_is_kept_goes_nowhere(loaded, songs):
    """To the same song a semitone higher, which has as many ids."""
    higher = replace(songs[0], tracks=tuple(map(raised, songs[0].tracks)))
    assert len(ids(higher)) == len(ids(songs[0]))
    free, kept = (
        [ids(score) for score in interpolate(loaded, songs[0], higher, steps=3, keep=keep, temperature=0).scores]
        for keep in ((), ("global", "local", "fine"))
    )
    assert kept == [free[0]] * 3
    assert free[2] != free[0]


def test_songs_are_told_to_the_encoder_as_those_of_new_pieces_are(songs):
    """By a model whose streams tell facts and chords: both commands lead the same way."""
    model = small_vae(CODEC, controls__facts=["key", "density"], controls__chords=True)
    codec = CODEC.with_controls(["key", "density"], chords=True, infill=False)
    telling = replace(loaded_with(model), codec=codec)
    request = Request(interpolate=tuple(songs), steps=3, seed=2, temperature=0.0)
    pieces = [piece.score for piece in each_piece(Making(telling.model, codec, request, context=64, defaults=PLAIN))]
    assert interpolate(telling, *songs, steps=3, seed=2, temperature=0.0).scores == pieces
    middle = traverse(telling, {"fine": torch.ones(16)}, values=[0], song=songs[0], beats=100, seed=2, temperature=0)
    assert middle.scores == pieces[:1]


def raised(track):
    return replace(track, notes=replace(track.notes, pitch=track.notes.pitch + 1))


def test_a_traversal_moves_nothing_but_what_it_is_told_to(loaded):
    direction = {"fine": torch.full((16,), 0.5)}
    found = traverse(loaded, direction, values=(-2, 0, 2), seed=4, beats=2)
    latents = [PieceLatents(loaded.model, 4, shift={"fine": torch.full((16,), amount)}) for amount in (-1.0, 0.0, 1.0)]
    expected = decode(loaded, latents, steps=[STEPS] * 3, seeds=[4] * 3)
    assert found.values == (-2, 0, 2)
    assert [ids(score) for score in found.scores] == [ids(score) for score in expected]
    assert len({tuple(ids(score)) for score in found.scores}) == 3


def test_a_song_is_traversed_from_and_no_longer_than_it_is(loaded, songs):
    direction = {"global": torch.full((16,), 1.0)}
    found = traverse(loaded, direction, values=(0, 3), song=songs[0], beats=100, temperature=0)
    source = LatentSource(loaded.model, context=64, prompt=[BOS], like=ids(songs[0]))
    (alone,) = decode(loaded, [source(0)], steps=[steps_of(songs[0])], seeds=[0], temperature=0)
    assert ids(found.scores[0]) == ids(alone)
    assert ids(found.scores[1]) != ids(alone)
    assert len(ids(traverse(loaded, direction, values=[0], song=songs[0], beats=1).scores[0])) < len(ids(alone))


def test_a_model_without_latents_has_no_way(songs):
    flags = {"model.mode": "transformer", "model.d_model": 32, "model.n_layers": 1, "model.n_heads": 2}
    profile = load_profile(flags=flags)
    without = loaded_with(build_model(profile, CODEC).eval(), flags)
    for wish in (lambda: interpolate(without, *songs), lambda: traverse(without, {})):
        with pytest.raises(UsageError, match="no latents"):
            wish()


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    means = rng.standard_normal((4000, 5)) * [5, 3, 2, 1, 0.1] @ axes.T + 7
    window = np.arange(4000)
    level = LevelCodes(means.astype(np.float32), np.zeros_like(means, np.float32), window, {}, [""] * 4000)
    return Codes("run", "step", "valid", {"global": level}, window, [], np.zeros(4000), {}), axes


def test_one_deviation_of_a_dimension(codes):
    found = dimension(codes[0], "global", 2)["global"].numpy()
    assert found[2] == pytest.approx(codes[0].levels["global"].mean[:, 2].std(), rel=1e-5)
    assert np.count_nonzero(found) == 1


def test_principal_axes_are_those_of_most_variance(codes):
    for number, deviation in enumerate([5, 3, 2, 1, 0.1]):
        found = principal(codes[0], "global", number)["global"].numpy()
        assert np.linalg.norm(found) == pytest.approx(deviation, rel=0.05)
        assert abs(found @ codes[1][:, number]) == pytest.approx(deviation, rel=0.05)
        assert found[np.abs(found).argmax()] > 0


@pytest.mark.parametrize(("level", "number"), [("local", 0), ("global", 5), ("global", -1)])
def test_directions_that_are_not_there(codes, level, number):
    for make, what in ((dimension, "dimension"), (principal, "component")):
        with pytest.raises(UsageError, match=f"no level|no {what}"):
            make(codes[0], level, number)
