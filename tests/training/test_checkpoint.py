import shutil

import pytest
import torch

from aurl.errors import DamagedError
from aurl.training.checkpoint import EMA, MODEL, OPTIMIZER, RANDOM, Checkpoints, read_tensors

GROUPS = (MODEL, EMA, OPTIMIZER, RANDOM)
FILES = (*(f"{name}.safetensors" for name in GROUPS), "state.json", "manifest.sha256")


def save(checkpoints: Checkpoints, step: int, *ranking: int) -> None:
    groups = {name: {"x": torch.full((4,), float(step))} for name in GROUPS}
    checkpoints.save(step, groups, {"training": {"step": step}}, ranking=ranking)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep_last=2)


def test_what_is_saved_is_found(checkpoints):
    save(checkpoints, 7)
    found = checkpoints.find()
    assert found is not None
    assert (found.step, found.damaged, found.state["training"]) == (7, {}, {"step": 7})
    assert names(found.folder) == sorted(FILES)
    assert torch.equal(read_tensors(found.folder, OPTIMIZER)["x"], torch.full((4,), 7.0))


def test_nothing_saved_nothing_found(checkpoints):
    assert checkpoints.find() is None


def test_pointers_and_pruning(checkpoints):
    for step in (100, 200, 300, 400):
        save(checkpoints, step, 100)
    assert names(checkpoints.folder) == ["best", "latest", "step-00000100", "step-00000300", "step-00000400"]
    assert (checkpoints.folder / "latest").read_text() == "step-00000400\n"
    assert (checkpoints.folder / "best").read_text() == "step-00000100\n"


def test_a_better_one_lets_the_former_best_go(checkpoints):
    for step, best in ((100, 100), (200, 100), (300, 100), (400, 400)):
        save(checkpoints, step, best)
    assert names(checkpoints.folder) == ["best", "latest", "step-00000300", "step-00000400"]
    assert (checkpoints.folder / "best").read_text() == "step-00000400\n"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_one_wrong_byte_in_any_file_is_noticed_and_the_one_before_is_used(checkpoints, caplog, name, where):
    save(checkpoints, 100)
    save(checkpoints, 200)
    path = checkpoints.folder / "step-00000200" / name
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 0x04
    path.write_bytes(content)
    found = checkpoints.find()
    assert found is not None
    assert found.step == 100
    assert list(found.damaged) == ["step-00000200"]
    assert "step-00000200 is damaged" in caplog.text


@pytest.mark.parametrize("name", FILES)
def test_missing_and_cut_files_are_noticed(checkpoints, name):
    save(checkpoints, 100)
    path = checkpoints.folder / "step-00000100" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedError, match="no checkpoint"):
        checkpoints.find()
    path.unlink()
    with pytest.raises(DamagedError, match="no checkpoint"):
        checkpoints.find()


def test_a_manifest_that_lost_a_line_is_noticed(checkpoints):
    save(checkpoints, 100)
    manifest = checkpoints.folder / "step-00000100" / "manifest.sha256"
    lines = [line for line in manifest.read_text().splitlines(keepends=True) if "model" not in line]
    manifest.write_text("".join(lines))
    with pytest.raises(DamagedError, match="no checksum of model"):
        checkpoints.find()


def test_tidying_moves_damaged_folders_away_and_clears_leftovers(checkpoints):
    save(checkpoints, 100)
    save(checkpoints, 200)
    (checkpoints.folder / "step-00000200" / "state.json").unlink()
    (checkpoints.folder / ".step-00000300.12-ab.tmp").mkdir()
    found = checkpoints.find()
    checkpoints.tidy(found)
    assert names(checkpoints.folder) == ["damaged-step-00000200", "latest", "step-00000100"]
    assert (checkpoints.folder / "latest").read_text() == "step-00000100\n"
    save(checkpoints, 200)
    assert checkpoints.find().step == 200


def test_nothing_is_left_of_what_a_run_has_gone_back_from(checkpoints):
    """What stayed would be pointed to, and count among the newest."""
    for step in (100, 200, 300):
        save(checkpoints, step, step)
    checkpoints.tidy(checkpoints.find(lambda step, _: step > 200))
    assert names(checkpoints.folder) == ["best", "latest", "step-00000200"]
    found = checkpoints.find(lambda _step, _: True)
    assert found is None
    checkpoints.tidy(found)
    assert names(checkpoints.folder) == []


def test_best_never_points_to_what_was_moved_away(checkpoints):
    save(checkpoints, 100, 100)
    save(checkpoints, 200, 200, 100)
    (checkpoints.folder / "step-00000200" / "state.json").unlink()
    checkpoints.tidy(checkpoints.find())
    assert (checkpoints.folder / "best").read_text() == "step-00000100\n"
    save(checkpoints, 200)
    save(checkpoints, 300, 300)
    shutil.rmtree(checkpoints.folder / "step-00000300")
    checkpoints.tidy(checkpoints.find())
    assert not (checkpoints.folder / "best").exists()


def test_failure_while_writing_leaves_the_former_state(checkpoints):
    save(checkpoints, 100)
    with pytest.raises(TypeError):
        checkpoints.save(200, {MODEL: {"x": torch.zeros(1)}}, {"training": object()})
    assert names(checkpoints.folder) == ["latest", "step-00000100"]
    assert checkpoints.find().step == 100


def test_half_deleted_folders_are_not_taken_for_checkpoints(checkpoints, monkeypatch):
    """Killed while pruning: what is left has another name."""
    for step in (100, 200):
        save(checkpoints, step)
    monkeypatch.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(checkpoints, 300)
    monkeypatch.undo()
    assert [path.name for path in checkpoints.folder.glob("step-*")] != []
    found = checkpoints.find()
    checkpoints.tidy(found)
    assert found.step == 300
    assert names(checkpoints.folder) == ["latest", "step-00000200", "step-00000300"]
