"""A run that learns from what another run's model expects."""

import shutil
import signal

import pytest
import torch
from tests.support.latent_models import small_vae
from tests.support.training import SMALL, SMALL_LATENTS, facts, tensors, told, write_dataset

from aurl.data.batching import collate
from aurl.data.dataset import TokenDataset
from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.generation.load import find_checkpoint
from aurl.home import HOME_VARIABLE
from aurl.profile import load_profile
from aurl.progress import Interrupts
from aurl.storage import write_manifest
from aurl.training.batches import Batch
from aurl.training.distillation import Teacher
from aurl.training.trainer import fit, resume

ALMOST_NOTHING = 1e-30


def plain(**training):
    return load_profile(flags={**SMALL, **{f"training.{key}": value for key, value in training.items()}})


def taught(teacher, *, more=(), **training):
    flags = {**SMALL, **dict(more), **{f"training.{key}": value for key, value in training.items()}}
    return load_profile(flags={**flags, "training.teacher": str(teacher), "loss.terms.distillation": {}})


@pytest.fixture(scope="module")
def teacher(dataset, tmp_path_factory):
    """A trained run, nobody writes to it."""
    folder = tmp_path_factory.mktemp("teachers") / "master"
    fit(plain(max_steps=60, eval_every=30), dataset, folder, threads=1)
    return folder


def costs(run):
    return [record["train/distillation"] for record in told(run) if "train/distillation" in record]


def test_who_begins_as_its_teacher_has_nothing_to_learn_of_it(dataset, tmp_path, teacher):
    profile = taught(teacher, more={"model.dropout": 0.0}, max_steps=2, lr=ALMOST_NOTHING, weight_decay=0.0)
    fit(profile, dataset, tmp_path / "pupil", start_from=teacher, threads=1)
    assert costs(tmp_path / "pupil") == pytest.approx([0.0, 0.0], abs=1e-6)


def test_a_small_pupil_comes_nearer_to_its_teacher(dataset, tmp_path, teacher):
    """Than one of its size that learned as long from the music alone."""
    small = {"model.n_layers": 1, "model.dropout": 0.0, "loss.terms.distillation.temperature": 1.0}
    for name, weight in (("pupil", 100.0), ("alone", 1e-9)):
        more = {**small, "loss.terms.distillation.weight": weight}
        fit(taught(teacher, more=more, max_steps=60), dataset, tmp_path / name, threads=1)
    pupil, alone = costs(tmp_path / "pupil"), costs(tmp_path / "alone")
    assert len(pupil) == 60
    assert pupil[0] == pytest.approx(alone[0])
    assert sum(pupil[-5:]) < 0.7 * sum(alone[-5:])
    assert sum(alone[-5:]) < 0.1 * alone[0]
    first = told(tmp_path / "pupil")[0]
    assert first["train/loss"] == pytest.approx(first["train/nats_per_token"] + 100.0 * pupil[0], rel=1e-5)


def test_the_teacher_is_written_down_and_left_as_it_is(dataset, tmp_path, teacher):
    before = tensors(teacher)
    fit(taught(teacher, max_steps=2), dataset, tmp_path / "pupil", threads=1)
    known = facts(tmp_path / "pupil")["teacher"]
    assert (known["name"], known["run"], len(known["sha256"])) == ("master", str(teacher), 64)
    assert known["checkpoint"] == find_checkpoint(teacher, "best").name
    assert tensors(teacher) == before
    assert not any("teacher" in name for name in tensors(tmp_path / "pupil"))


def test_resuming_is_exact_and_finds_the_teacher_again(dataset, tmp_path, teacher):
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM if progress.done == 4 else interrupts.stop

    fit(taught(teacher, max_steps=8), dataset, tmp_path / "whole", threads=1)
    profile = taught(teacher, max_steps=8)
    assert fit(profile, dataset, tmp_path / "parts", threads=1, interrupts=interrupts, report=report).interrupted
    assert resume(tmp_path / "parts").step == 8
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")


def test_a_teacher_that_is_gone_or_another_is_told_of(dataset, tmp_path, teacher, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    runs = tmp_path / "home" / "runs"
    shutil.copytree(teacher, tmp_path / "master")
    fit(taught(tmp_path / "master", max_steps=1), dataset, runs / "pupil", threads=1)
    (tmp_path / "master").rename(tmp_path / "moved")
    with pytest.raises(NotFoundError, match=r"the teacher of this run is gone: .*master"):
        resume(runs / "pupil", changes={"max_steps": 2})
    (tmp_path / "moved").rename(runs / "master")
    assert resume(runs / "pupil", changes={"max_steps": 2}).step == 2
    weights = find_checkpoint(runs / "master", "best") / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedError, match=r"ema\.safetensors differs from its checksum"):
        resume(runs / "pupil", changes={"max_steps": 3})
    write_manifest(weights.parent)
    with pytest.raises(DamagedError, match=r"the weights of the teacher master .* are not what they were"):
        resume(runs / "pupil", changes={"max_steps": 3})


def test_a_teacher_is_found_by_name_and_checkpoint(dataset, tmp_path, teacher, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    shutil.copytree(teacher, tmp_path / "home" / "runs" / "master")
    fit(taught("master@step-00000050", max_steps=1), dataset, tmp_path / "pupil", threads=1)
    assert facts(tmp_path / "pupil")["teacher"]["checkpoint"] == "step-00000050"
    with pytest.raises(NotFoundError, match="mister"):
        fit(taught("mister", max_steps=1), dataset, tmp_path / "other", threads=1)


def test_a_teacher_of_other_ids_is_refused(tmp_path, teacher):
    other = write_dataset(tmp_path / "other", pieces=6, valid=1, header=("tempo",))
    with pytest.raises(UsageError, match="the teacher master spells music in other ids"):
        fit(taught(teacher, max_steps=1), other, tmp_path / "pupil", threads=1)


@pytest.mark.slow
def test_a_model_with_latents_teaches_a_transformer_and_the_other_way_round(dataset, tmp_path, teacher):
    latent = {"model.mode": "vae", **SMALL_LATENTS}
    fit(taught(teacher, more=latent, max_steps=6), dataset, tmp_path / "vae", threads=1)
    fit(taught(tmp_path / "vae", max_steps=6), dataset, tmp_path / "plain", threads=1)
    assert len(costs(tmp_path / "vae")) == len(costs(tmp_path / "plain")) == 6


@pytest.mark.slow
def test_two_processes_learn_from_it_as_one_does(dataset, tmp_path, teacher):
    for name, batch, processes in (("one", 4, 1), ("two", 2, 2)):
        more = {"model.dropout": 0.0, "data.batch_size": batch}
        fit(taught(teacher, more=more, max_steps=6), dataset, tmp_path / name, threads=1, processes=processes)
    assert costs(tmp_path / "two") == pytest.approx(costs(tmp_path / "one"), rel=2e-4)


def batch_of(dataset):
    windows = TokenDataset(dataset, "valid", seq_len=48)
    return Batch.of(collate(windows.__getitems__([0, 1, 2])))


def test_a_teacher_with_latents_decodes_the_means_of_its_posteriors(dataset):
    """As reconstruction does when posteriors are so narrow that each draw is its mean."""
    model = small_vae(packed=False, initial_log_variance=-12.0)
    batch = batch_of(dataset)
    with torch.no_grad():
        drawn = model(batch.inputs, start_steps=batch.start_steps, following=batch.following)
        said = Teacher(model)(batch)
        moved = model(batch.inputs, start_steps=batch.start_steps, stream=torch.zeros(*batch.inputs.shape, 16))
    torch.testing.assert_close(said, drawn.logits, atol=0.05, rtol=0.05)
    assert (said - moved).abs().max() > 0.5
    assert torch.equal(said, Teacher(model)(batch))


def test_a_teacher_does_not_learn():
    teacher = Teacher(small_vae(packed=False))
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    assert not teacher.model.training
