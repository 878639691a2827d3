import io
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from tests.support.known_codes import known_codes
from tests.support.pages import Tags

from aurl.errors import UsageError
from aurl.latent.page_scatter import scatter
from aurl.latent.project import MOST_POINTS, principal_components, project
from aurl.latent.project_colours import UNKNOWN, colourings
from aurl.latent.project_picture import projection_picture


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((60, 5)) * [5, 3, 1, 0.5, 0.1]
    density = mean[:, 0].copy()
    density[3] = np.nan
    words = {"composer": [("Bach", "Mozart", "")[number % 3] for number in range(60)], "form": ["song"] * 60}
    return known_codes(mean, {"density": density, "register": np.zeros(60)}, words)


def test_principal_components_are_those_of_the_covariance():
    x = np.random.default_rng(0).standard_normal((50, 4)) * [4, 2, 1, 0.5]
    places, shares = principal_components(x)
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1]
    assert places.var(0, ddof=1) == pytest.approx(values[:2])
    assert shares == pytest.approx(values[:2] / values.sum())
    assert np.corrcoef(places, rowvar=False)[0, 1] == pytest.approx(0, abs=1e-9)
    flat, _ = principal_components(np.arange(4.0)[:, None])
    assert flat.shape == (4, 2)
    assert not flat[:, 1].any()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_points_bring_what_is_known_of_them(codes, method):
    found = project(codes, "global", method)
    assert len(found.points) == len(found.names) == len(found.numbers["density"]) == 60
    assert found.numbers["density"][3] is None
    assert found.words["composer"][:3] == ("Bach", "Mozart", "")
    assert bool(found.explained) == (method == "pca")
    picture = imread(io.BytesIO(projection_picture(found)))
    assert picture.shape[1] > picture.shape[0]  # two colourings beside each other


def test_too_many_points_are_thinned():
    codes = known_codes(np.random.default_rng(0).standard_normal((MOST_POINTS + 500, 2)), {})
    assert len(project(codes, "global", "pca").points) == MOST_POINTS


def test_only_what_differs_colours_points(codes):
    ways = {way.name: way for way in colourings(project(codes, "global", "pca"))}
    assert list(ways) == ["composer", "density"]
    composer = ways["composer"]
    assert composer.colours[0] == composer.colours[3] != composer.colours[1]
    assert composer.colours[2] == UNKNOWN
    assert composer.legend.keys() == {"Bach", "Mozart"}
    density = ways["density"]
    assert density.colours[3] == UNKNOWN
    assert density.values[3] == ""
    assert len(density.legend) == 5


def test_keys_have_their_place_in_the_circle_of_fifths(codes):
    names = ["C major", "G major", "F# major", "A minor", ""] * 12
    found = project(codes, "global", "pca")
    way = colourings(found.__class__(**{**found.__dict__, "words": {"key": names}, "numbers": {}}))[0]
    assert list(way.legend) == ["C major", "G major", "F# major", "A minor"]

    def colour(name):
        return np.array([int(way.legend[name][place : place + 2], 16) for place in (1, 3, 5)])

    def apart(one, other):
        return np.linalg.norm(colour(one) - colour(other))

    assert apart("C major", "G major") < apart("C major", "F# major")
    assert colour("A minor").max() < colour("C major").max()


def test_scatter_tells_what_is_pointed_at(codes):
    content = scatter(project(codes, "global", "pca"))
    tags = Tags(content)
    assert not tags.open
    assert sum(tag == "circle" for tag, _ in tags.seen) == 60
    assert [tag for tag, _ in tags.seen].count("option") == 2
    assert "<0>.mid" in tags.text  # a name is text, not a tag
    assert "composer: Bach" in tags.text
    lists = [attrs for tag, attrs in tags.seen if tag == "ul"]
    assert [("hidden" in attrs) for attrs in lists] == [False, True]
    assert len(lists[0]["data-colours"].split()) == 60


def test_nothing_differs(codes):
    alike = known_codes(np.eye(4), {})
    assert scatter(project(alike, "global", "pca")) == ""
    assert projection_picture(project(alike, "global", "pca")).startswith(b"\x89PNG")


def test_what_cannot_be_projected(codes, monkeypatch):
    with pytest.raises(UsageError, match="2 latents"):
        project(known_codes(np.eye(2), {}), "global", "pca")
    monkeypatch.setitem(sys.modules, "umap", None)  # as if it were not installed
    with pytest.raises(UsageError, match="umap-learn is not installed") as caught:
        project(codes, "global", "umap")
    assert "aurl[latent]" in caught.value.hint
