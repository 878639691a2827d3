import json

import pytest
import torch
from safetensors.torch import load_file
from tests.support.runs import write_run

from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.generation.load import load_run
from aurl.model.weights import load_weights
from aurl.tokens.codec import Codec
from aurl.training.checkpoint import EMA, MODEL, OPTIMIZER, RANDOM, Checkpoints
from aurl.training.run import Run
from aurl.training.soup import average_checkpoints, mean_of
from aurl.training.verify import clean_checkpoints, verify_checkpoints


def save(checkpoints, step, value, *, ranking=(), shape=(3,)):
    groups = {name: {"x": torch.full((1,), 0.0)} for name in (OPTIMIZER, RANDOM)}
    groups[MODEL] = {"x": torch.full(shape, value), "count": torch.tensor(step)}
    checkpoints.save(step, groups, {"training": {"step": step}}, ranking=ranking)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


@pytest.fixture
def checkpoints(run):
    return Checkpoints(run.checkpoints, keep_last=9)


def test_the_mean_is_summed_in_double_precision(checkpoints):
    """In float32, 1e8 + 1 − 1e8 + 3 would be 4 or 3 or 0 by the order of the sum."""
    values = [1e8, 1.0, -1e8, 3.0]
    for step, value in enumerate(values, start=1):
        save(checkpoints, step, value)
    folder = average_checkpoints(checkpoints, last=4)
    assert folder.name == "average-00000004-last4"
    mean = load_file(folder / "model.safetensors")
    assert torch.equal(mean["x"], torch.full((3,), 1.0))
    assert mean["x"].dtype == torch.float32
    assert mean["count"] == 4
    assert json.loads((folder / "state.json").read_text())["averaged"] == [1, 2, 3, 4]


def test_which_ones_can_be_said_in_three_ways(checkpoints):
    for step, ranking in ((1, [1]), (2, [2, 1]), (3, [2, 3]), (4, [2, 3])):
        save(checkpoints, step, float(step), ranking=ranking)
    names = {"last": {"last": 2}, "best": {"best": 2}, "steps": {"steps": [1, 4, 4]}}
    found = {how: average_checkpoints(checkpoints, **options) for how, options in names.items()}
    means = {how: float(load_file(folder / "model.safetensors")["x"][0]) for how, folder in found.items()}
    assert means == {"last": 3.5, "best": 2.5, "steps": 2.5}
    assert [folder.name for folder in found.values()] == [
        "average-00000004-last2",
        "average-00000003-best2",
        "average-00000004-steps2",
    ]


def test_what_cannot_be_averaged_is_refused(checkpoints):
    save(checkpoints, 1, 1.0)
    with pytest.raises(UsageError, match="too few"):
        average_checkpoints(checkpoints, last=3)
    save(checkpoints, 2, 1.0)
    for options in ({}, {"last": 2, "best": 2}):
        with pytest.raises(UsageError, match="one way to say which checkpoints"):
            average_checkpoints(checkpoints, **options)
    with pytest.raises(NotFoundError, match="step-00000007") as caught:
        average_checkpoints(checkpoints, steps=[1, 7])
    assert "step-00000002" in caught.value.hint
    save(checkpoints, 3, 1.0, shape=(4,))
    with pytest.raises(DamagedError, match="not of the same model"):
        average_checkpoints(checkpoints, last=2)
    (checkpoints.folder / "step-00000001" / "state.json").unlink()
    with pytest.raises(DamagedError, match="is missing"):
        average_checkpoints(checkpoints, steps=[1, 2])
    assert not list(checkpoints.folder.glob("average-*"))


def test_a_mean_can_be_generated_with(tmp_path):
    folder = write_run(tmp_path / "run", Codec(), steps=(100, 200, 300), best=100)
    run = Run(folder)
    mean = average_checkpoints(Checkpoints(run.checkpoints, keep_last=9), steps=[100, 300])
    loaded = load_run(folder, checkpoint=mean.name, packed=False)
    assert (loaded.step, loaded.is_average) == (300, True)
    parts = [load_file(run.checkpoints / f"step-{step:08d}" / f"{EMA}.safetensors") for step in (100, 300)]
    for name, tensor in loaded.model.state_dict().items():
        torch.testing.assert_close(tensor, (parts[0][name] + parts[1][name]) / 2)
    assert load_run(folder).step == 100
    load_weights(loaded.model, mean / f"{MODEL}.safetensors")
    means = mean_of([run.checkpoints / "step-00000100", run.checkpoints / "step-00000300"], MODEL)
    assert all(torch.equal(tensor, means[name]) for name, tensor in loaded.model.state_dict().items())


def test_all_checkpoints_are_verified(run, checkpoints):
    for step in (1, 2, 3):
        save(checkpoints, step, 1.0)
    mean = average_checkpoints(checkpoints, last=2)
    (checkpoints.folder / "step-00000002" / "model.safetensors").write_bytes(b"")
    (mean / "state.json").unlink()
    found = verify_checkpoints(run)
    assert [(one.name, bool(one.fault)) for one in found] == [
        (mean.name, True),
        ("step-00000001", False),
        ("step-00000002", True),
        ("step-00000003", False),
    ]
    assert "model.safetensors" in found[2].fault
    whole = checkpoints.folder / "step-00000001"
    assert found[1].bytes == sum(path.stat().st_size for path in whole.iterdir())


def test_cleaning_leaves_what_the_profile_keeps(run, checkpoints):
    for step in range(1, 7):
        save(checkpoints, step, 1.0, ranking=[2])
    (checkpoints.folder / "damaged-step-00000009").mkdir()
    (checkpoints.folder / ".step-00000009.1-a.tmp").mkdir()
    average_checkpoints(checkpoints, last=2)
    stricter = Checkpoints(run.checkpoints, keep_last=1, keep_every=4)
    before = sorted(path.name for path in checkpoints.folder.iterdir())
    told = clean_checkpoints(run, stricter, dry_run=True)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == before
    assert clean_checkpoints(run, stricter) == told
    assert told.names == ("damaged-step-00000009", "step-00000001", "step-00000003", "step-00000005")
    assert told.bytes > 0
    kept = ["average-00000006-last2", "best", "latest", "step-00000002", "step-00000004", "step-00000006"]
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == kept
    assert clean_checkpoints(run, stricter).names == ()


def test_nothing_is_cleaned_where_nothing_is_whole(run, checkpoints):
    for step in (1, 2):
        save(checkpoints, step, 1.0)
        (checkpoints.folder / f"step-{step:08d}" / "state.json").unlink()
    with pytest.raises(DamagedError):
        clean_checkpoints(run, Checkpoints(run.checkpoints, keep_last=1))
    assert len(list(checkpoints.folder.glob("step-*"))) == 2
