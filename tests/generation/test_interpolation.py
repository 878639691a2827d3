"""Between two songs: on arcs, from beginning to beginning and from end to end, exactly the songs at both ends."""

import math
from itertools import pairwise

import pytest
import torch
from tests.support.latent_models import FLAT, small_vae
from tests.support.tunes import tune

from aurl.errors import UsageError
from aurl.generation.encoding import encode
from aurl.generation.interpolation import between, places, slerp, stretched
from aurl.tokens.codec import Codec

CONTEXT = 64
SONG, OTHER = (Codec().encode(tune(seed)).ids.tolist()[:length] for seed, length in ((1, 300), (2, 200)))


def angle(one, other):
    return math.acos(float(one @ other / one.norm() / other.norm()))


def test_places_are_even_and_have_both_ends():
    assert places(5) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert places(2) == [0.0, 1.0]
    with pytest.raises(UsageError, match="1 steps"):
        places(1)


def test_a_quarter_turn():
    """Halfway between the axes, whose lengths are 1 and 3, lies the diagonal of length 2."""
    found = slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]), 0.5)
    torch.testing.assert_close(found, torch.tensor([math.sqrt(2), math.sqrt(2)]))
    third = slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 1 / 3)
    torch.testing.assert_close(third, torch.tensor([math.sqrt(3) / 2, 0.5]))


def test_directions_turn_evenly_and_lengths_go_straight():
    one, other = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    way = [slerp(one, other, place) for place in places(9)]
    turns = [angle(*pair) for pair in pairwise(way)]
    assert turns == pytest.approx([angle(one, other) / 8] * 8)
    lengths = [float(vector.norm()) for vector in way]
    steps = [after - before for before, after in pairwise(lengths)]
    assert steps == pytest.approx([(lengths[-1] - lengths[0]) / 8] * 8)


@pytest.mark.parametrize(
    ("one", "other"),
    [([1.0, 2.0], [2.0, 4.0]), ([1.0, 2.0], [-1.0, -2.0]), ([0.0, 0.0], [1.0, 1.0]), ([0.0, 0.0],) * 2],
)
def test_where_no_arc_is_the_way_is_straight(one, other):
    one, other = torch.tensor(one), torch.tensor(other)
    torch.testing.assert_close(slerp(one, other, 0.25), 0.75 * one + 0.25 * other)


def test_ends_are_the_vectors_themselves():
    one, other = torch.randn(2, 3, 16)
    assert slerp(one, other, 0) is one
    assert slerp(one, other, 1) is other


@pytest.fixture(scope="module", params=["hierarchical", "flat", "two"])
def pair(request):
    options = {"hierarchical": {}, "flat": FLAT, "two": {"local_size": 0}}[request.param]
    model = small_vae(**options)
    return [encode(model, ids, context=CONTEXT) for ids in (SONG, OTHER)]


def test_the_ends_are_exactly_the_songs(pair):
    one, other = pair
    assert between(one, other, 0) is one
    assert between(one, other, 1) is other
    assert between(one, other, 0, keep=["global"]) is one


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_what_lies_between_has_a_length_between_and_latents_for_all_of_it(pair, place):
    one, other = pair
    found = between(one, other, place)
    assert found.length == round((1 - place) * 299 + place * 199)
    assert found.begins[0] == 0
    assert found.begins == sorted(set(found.begins))
    for level in found.levels:
        count = level.count(found.length) if level.tokens else len(found.begins)
        assert found.mean[level.name].shape == found.deviation[level.name].shape == (1, count, level.size)
        assert (found.deviation[level.name] > 0).all()


@pytest.mark.parametrize("options", [{}, {"local_size": 0}])
def test_songs_are_laid_beside_each_other_as_a_whole(options):
    """Every latent lies between one of each song at the same share of it, the last between the last ones."""
    model = small_vae(**options)
    one, other = (encode(model, ids, context=CONTEXT) for ids in (SONG, OTHER))
    found = between(one, other, 0.5)
    for level in found.levels[1:]:
        mine, first, last = (song.mean[level.name][0] for song in (found, one, other))
        torch.testing.assert_close(mine[0], slerp(first[0], last[0], 0.5))
        torch.testing.assert_close(mine[-1], slerp(first[-1], last[-1], 0.5))
        for number, latent in enumerate(mine):
            share = number / (len(mine) - 1)
            assert any(
                torch.allclose(slerp(first[one_place], last[other_place], 0.5), latent, atol=1e-6)
                for one_place in near(share, len(first))
                for other_place in near(share, len(last))
            )


def near(share, count):
    """Places at about this share of so many."""
    middle = round(share * (count - 1))
    return range(max(middle - 2, 0), min(middle + 3, count))


def test_every_global_latent_holds_where_those_of_the_songs_do(pair):
    one, other = pair
    found = between(one, other, 0.5)
    for number, begin in enumerate(found.begins):
        share = begin / found.length
        nearby = [
            [
                k
                for k, (start, stop) in enumerate(pairwise([*song.begins, song.length]))
                if start - 48 <= share * song.length < stop + 48
            ]
            for song in (one, other)
        ]
        vector = found.mean["global"][0, number]
        assert any(
            torch.allclose(slerp(one.mean["global"][0, a], other.mean["global"][0, b], 0.5), vector, atol=1e-6)
            for a in nearby[0]
            for b in nearby[1]
        )


def test_songs_of_one_length_meet_segment_by_segment():
    model = small_vae()
    one, other = (encode(model, ids[:200], context=CONTEXT) for ids in (SONG, OTHER))
    found = between(one, other, 0.3)
    assert found.begins == one.begins == other.begins
    for name, mean in found.mean.items():
        assert torch.equal(mean, slerp(one.mean[name], other.mean[name], 0.3))
        torch.testing.assert_close(found.deviation[name], 0.7 * one.deviation[name] + 0.3 * other.deviation[name])


def test_levels_that_are_kept_stay_those_of_the_first_song():
    model = small_vae()
    one, other = (encode(model, ids[:200], context=CONTEXT) for ids in (SONG, OTHER))
    for place in (0.3, 1.0):
        found = between(one, other, place, keep=["global", "fine"])
        assert torch.equal(found.mean["global"], one.mean["global"])
        assert torch.equal(found.mean["fine"], one.mean["fine"])
        assert torch.equal(found.mean["local"], slerp(one.mean["local"], other.mean["local"], place))


def test_stretching_repeats_or_leaves_out_whole_segments():
    """299 positions are ten segments of 32, twenty of 16; at 96 three are left: the first, a middle one, the last."""
    song = encode(small_vae(), SONG, context=CONTEXT)
    assert stretched(song, 299) is song
    short = stretched(song, 96)
    assert torch.equal(short.mean["local"], song.mean["local"][:, [0, 5, 9]])
    assert torch.equal(short.mean["fine"], song.mean["fine"][:, [0, 1, 10, 11, 18, 18]])
    long = stretched(song, 600)
    assert long.mean["local"].shape[1] == 19
    assert torch.equal(long.mean["local"][:, [0, -1]], song.mean["local"][:, [0, -1]])
    assert torch.equal(stretched(song, 5).mean["local"], song.mean["local"][:, :1])
