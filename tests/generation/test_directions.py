"""Along directions that are known: the regression says that what was asked for has changed, and nothing else."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from aurl.errors import DamagedError, UsageError
from aurl.generation.directions import (
    Attribute,
    Direction,
    Directions,
    load_directions,
    model_digest,
    save_directions,
)
from aurl.storage import write_manifest

RNG = np.random.default_rng(0)
NAMES = ("density", "register", "silence")


def direction(r2):
    return Direction(scale=1.0, r2=r2, correlation=0.5, reference_correlation=0.4, count=100)


def some(model="here"):
    """Two attributes on two levels, one of them known to one level only, and a third that none knows."""
    known = {"density": (0.9, 0.5), "register": (0.6, 0.01), "silence": (0.0, -0.1)}
    facts = {
        name: Attribute(5.0, 2.0, {"global": direction(upper), "fine": direction(lower)})
        for name, (upper, lower) in known.items()
    }
    vectors, weights = {}, {}
    for level, size, count in (("global", 8, 2), ("fine", 4, 1)):
        covariance = np.diag(RNG.uniform(0.1, 2, size))
        rows = np.zeros((3, size))
        rows[:count] = RNG.standard_normal((count, size))
        along = rows @ covariance
        vectors[level] = (along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)).astype(np.float32)
        weights[level] = rows.astype(np.float32)
    return Directions(model, facts, vectors, weights)


def effect(directions, shift, level):
    return directions.weights[level] @ shift[level].numpy()


def test_every_level_says_that_there_is_as_much_more_as_was_asked_for():
    directions = some()
    shift = directions.shift({"density": 1.5})
    assert effect(directions, shift, "global")[0] == pytest.approx(1.5, rel=1e-5)
    assert effect(directions, shift, "fine")[0] == pytest.approx(1.5, rel=1e-5)
    assert abs(effect(directions, shift, "global")[1]) > 1e-3, "what goes along with it goes along"
    cosine = shift["global"].numpy() @ directions.vectors["global"][0] / np.linalg.norm(shift["global"])
    assert cosine == pytest.approx(1, rel=1e-5)


def test_others_are_held_on_request():
    directions = some()
    shift = directions.shift({"density": 1.5}, hold=True)
    assert effect(directions, shift, "global") == pytest.approx([1.5, 0, 0], abs=1e-5)


def test_several_are_reached_together_and_opposites_undo_each_other():
    directions = some()
    both = directions.shift({"density": 1.0, "register": -2.0})
    assert effect(directions, both, "global") == pytest.approx([1.0, -2.0, 0], abs=1e-5)
    up, down = directions.shift({"register": 1.0}), directions.shift({"register": -1.0})
    assert all((up[level] + down[level]).abs().max() == 0 for level in up)


def test_a_level_that_says_nothing_of_an_attribute_stays_where_it_is():
    shift = some().shift({"register": 1.0})
    assert not shift["fine"].any()
    assert shift["global"].any()


@pytest.mark.parametrize(
    ("more", "message", "hint"),
    [
        ({"densty": 1.0}, "more densty", "did you mean density"),
        ({"x": 1.0}, "more x", "density, register"),
        ({"silence": 1.0}, "next to nothing of silence", "density, register"),
        ({"density": float("nan")}, "no amount", r"density=\+1.5"),
        ({"density": float("inf")}, "no amount", "deviations"),
    ],
)
def test_what_cannot_be_gone_along(more, message, hint):
    with pytest.raises(UsageError, match=message) as error:
        some().shift(more)
    assert re.search(hint, error.value.hint)


@pytest.fixture
def loaded(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "step-00000010"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    write_manifest(checkpoint)
    return SimpleNamespace(run=tmp_path, checkpoint=checkpoint, is_average=False)


def test_what_is_saved_is_read_again(loaded):
    directions = some(model_digest(loaded))
    save_directions(directions, loaded.run)
    found = load_directions(loaded)
    assert found.facts == directions.facts
    for level, vectors in directions.vectors.items():
        assert np.array_equal(found.vectors[level], vectors)
        assert np.array_equal(found.weights[level], directions.weights[level])
    facts = json.loads((loaded.run / "latent" / "directions.json").read_text())
    assert facts["attributes"]["density"]["levels"]["global"]["r2"] == 0.9


def test_directions_that_are_missing_or_of_other_weights_say_how_to_learn_them(loaded):
    with pytest.raises(UsageError, match="have not been learned") as error:
        load_directions(loaded)
    assert "aurl inspect-latent attributes" in error.value.hint
    save_directions(some(model_digest(loaded)), loaded.run)
    loaded.is_average = True
    with pytest.raises(UsageError, match="have not been learned"):
        load_directions(loaded)


def test_damaged_directions(loaded):
    path = save_directions(some(model_digest(loaded)), loaded.run)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedError, match="cannot be read"):
        load_directions(loaded)


def test_directions_of_another_version_are_none(loaded, monkeypatch):
    monkeypatch.setattr("aurl.generation.directions.VERSION", 0)
    save_directions(some(model_digest(loaded)), loaded.run)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="have not been learned"):
        load_directions(loaded)
