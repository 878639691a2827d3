"""Directions that were put into latents are found in them, and lead to more of what they are of."""

from pathlib import Path

import numpy as np
import pytest
from tests.support.latent_models import SMALL
from tests.support.runs import write_run
from tests.support.training import melody

from aurl.data.dataset import open_dataset
from aurl.data.prepare import prepare
from aurl.errors import UsageError
from aurl.generation.directions import load_directions
from aurl.generation.load import load_run
from aurl.latent.codes import Codes, LevelCodes
from aurl.latent.directions import ensure_directions, learn_directions
from aurl.profile import load_profile

RNG = np.random.default_rng(0)
WINDOWS, SHARE = 120, 4
AXES = {"global": np.array([1.0, 0, 0, 0]), "fine": np.array([0, 0, 2.0])}


def planted():
    """Windows whose density is in the first global dimension, and whose segments' is in the last fine one.

    The second global dimension follows the first; register is in no latent; silence does not vary.
    """
    density = RNG.normal(5, 2, WINDOWS)
    segments = np.repeat(density, SHARE) + RNG.normal(0, 1, WINDOWS * SHARE)
    top = np.outer((density - 5) / 2, AXES["global"]) + RNG.normal(0, 0.1, (WINDOWS, 4))
    top[:, 1] += 0.5 * top[:, 0]
    fine = np.outer((segments - 5) / 2, AXES["fine"]) + RNG.normal(0, 0.1, (WINDOWS * SHARE, 3))
    levels = {}
    for name, means, values in (("global", top, density), ("fine", fine, segments)):
        measured = {
            "density": values,
            "register": RNG.normal(60, 5, len(values)),
            "silence": np.zeros(len(values)),
            "dynamics": np.full(len(values), np.nan),
        }
        window = np.arange(len(values)) // (len(values) // WINDOWS)
        levels[name] = LevelCodes(
            means.astype(np.float32), np.zeros(means.shape, np.float32), window, measured, [""] * len(values)
        )
    piece = np.arange(WINDOWS) // 4
    return Codes("run", "step-1", "train", levels, piece, ["song"] * WINDOWS, np.full(WINDOWS, 120.0), {}), density


def test_the_direction_is_the_one_along_which_latents_vary_with_the_attribute():
    codes, density = planted()
    directions = learn_directions(codes, "digest")
    assert directions.model == "digest"
    assert directions.attributes == ("density", "register"), "what does not vary has none"
    known = directions.facts["density"]
    assert (known.mean, known.deviation) == pytest.approx((density.mean(), density.std()))
    row = directions.attributes.index("density")
    expected = {"global": np.array([1, 0.5, 0, 0]) / np.sqrt(1.25), "fine": np.array([0, 0, 1.0])}
    for level, vector in expected.items():
        assert directions.vectors[level][row] @ vector > 0.99
        assert np.linalg.norm(directions.vectors[level][row]) == pytest.approx(1, rel=1e-5)
        assert known.levels[level].r2 > 0.9
        assert known.levels[level].correlation > 0.95
    assert not directions.facts["register"].says_something
    assert not directions.vectors["global"][1 - row].any()


def test_a_deviation_more_is_a_deviation_of_windows_on_every_level():
    """Segments of a window that is 2 notes denser are 2 notes denser, although 2 is less than their own deviation."""
    codes, density = planted()
    shift = learn_directions(codes, "digest").shift({"density": 1.0})
    deviation = density.std()
    assert float(shift["global"][0]) == pytest.approx(deviation / 2, rel=0.1)
    assert float(shift["global"][1]) == pytest.approx(deviation / 4, rel=0.1)
    assert float(shift["fine"][2]) == pytest.approx(deviation, rel=0.15)


def test_too_little_music():
    codes, _ = planted()
    few = {
        name: LevelCodes(
            level.mean[:8], level.log_variance[:8], level.window[:8], {n: v[:8] for n, v in level.measured.items()}, []
        )
        for name, level in codes.levels.items()
    }
    with pytest.raises(UsageError, match="too few to learn directions"):
        learn_directions(Codes("run", "step-1", "train", few, codes.piece[:8], [], codes.tempo[:8], {}), "digest")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """An untrained model and two dozen songs; even random encoders hear how dense music is."""
    folder = tmp_path_factory.mktemp("directions")
    for seed in range(24):
        (folder / f"{seed:02}.mid").write_bytes(melody(seed, notes=20 + 3 * seed))
    profile = load_profile(flags={"prepare.split": {"kind": "glob"}}, check={"preprocess", "split"})
    prepare(sorted(folder.glob("*.mid")), profile, folder / "dataset", jobs=1)
    overrides = [f"{key}={value}" for key, value in SMALL.items()]
    return write_run(folder / "run", open_dataset(folder / "dataset").codec, overrides=overrides, ema=False)


def test_directions_are_learned_once_and_kept_in_the_run(run):
    loaded = load_run(run)
    with pytest.raises(UsageError, match="have not been learned"):
        load_directions(loaded)
    told = []
    directions = ensure_directions(loaded, report=told.append)
    assert {progress.task for progress in told} == {"learn directions (once)"}
    assert directions.attributes
    assert load_directions(loaded).facts == directions.facts
    told.clear()
    assert ensure_directions(loaded, report=told.append).facts == directions.facts
    assert not told


def test_directions_of_a_run_that_cannot_be_written_to_are_learned_all_the_same(run, caplog):
    loaded = load_run(run)
    known = ensure_directions(loaded)
    for path in (run / "latent").glob("directions*"):
        path.unlink()
    (run / "latent" / "directions.safetensors").mkdir()
    assert ensure_directions(loaded).facts == known.facts
    assert "directions of run cannot be kept" in caplog.text
    (run / "latent" / "directions.safetensors").rmdir()


def test_a_data_set_that_is_gone_is_asked_for(run, tmp_path):
    loaded = load_run(run)
    for path in (run / "latent").glob("*"):
        path.unlink()
    with pytest.raises(UsageError, match="learned from the data set of run") as error:
        ensure_directions(loaded, tmp_path / "nowhere")
    assert "aurl inspect-latent attributes run --data FOLDER" in error.value.hint
