"""Runs of mode vae_gan whose two sides are kept in balance."""

import json
import os
import signal
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.support.training import latent_profile, tensors, told
from torch import distributed, multiprocessing

from aurl.loss.reconstruction import Counts, targets_of
from aurl.progress import Interrupts
from aurl.tokens.vocabulary import PAD
from aurl.training.acceleration import start_accelerator
from aurl.training.batches import Batch
from aurl.training.events import SWITCHED_OFF, read_events
from aurl.training.optim import optimizer_tensors
from aurl.training.phases import phase_at
from aurl.training.run import Run
from aurl.training.setup import build_session, create_checked
from aurl.training.steps import Sums, update
from aurl.training.trainer import fit, resume

VIEWS = {"scale_8", "scale_16", "scale_32", "music", "latent"}


def records_of(run: Path) -> list[dict]:
    return [record for record in told(run) if "lr" in record]


def memory_of(run: Path) -> dict:
    newest = max((run / "checkpoints").glob("step-*"))
    return json.loads((newest / "state.json").read_text())["memory"]


def test_each_view_is_told_of_once_it_is_heard(dataset, tmp_path):
    """Of 15 steps the discriminator learns alone in the fourth to the sixth."""
    profile = latent_profile("vae_gan", max_steps=15, discriminator__warm_start=3, discriminator__r1=0.1)
    fit(profile, dataset, tmp_path / "run", threads=1)
    seen = []
    for record in records_of(tmp_path / "run"):
        own, heard = (
            {view for view in VIEWS if f"train/{side}_{view}" in record} for side in ("discriminator", "adversarial")
        )
        assert heard in (own, set())
        assert ("train/adversarial" in record) == bool(heard)
        seen.append((len(own), len(heard)))
        for side in ("discriminator", "adversarial"):
            parts = [value for name, value in record.items() if name.removeprefix(f"train/{side}_") in VIEWS]
            if parts:
                assert record[f"train/{side}"] == pytest.approx(sum(parts) / len(parts), rel=1e-4, abs=1e-6)
    assert seen == [(0, 0)] * 3 + [(1, 0)] * 3 + [(1, 1)] + [(2, 2)] * 4 + [(5, 5)] * 4
    penalised = [index for index, record in enumerate(records_of(tmp_path / "run")) if "train/r1" in record]
    assert penalised == [3]  # of the discriminator's steps the first, and then the seventeenth


def test_a_discriminator_that_beats_a_frozen_generator_stops_learning(dataset, tmp_path):
    options = {"discriminator__lr": 0.03, "discriminator__skip_above": 0.7, "discriminator__measure_every": 2}
    profile = latent_profile("vae_gan", max_steps=40, lr=1e-9, warmup_steps=0, discriminator__start=0.0, **options)
    fit(profile, dataset, tmp_path / "run", threads=1)
    records = records_of(tmp_path / "run")
    skipped = [record["discriminator_skipped"] for record in records]
    assert skipped[0] == 0
    assert skipped[-1] > 5
    for before, after in pairwise(records):
        waited = before["discriminator_accuracy_lately"] > 0.7 if "discriminator_accuracy_lately" in before else False
        assert after["discriminator_skipped"] - before["discriminator_skipped"] == waited
    standing = memory_of(tmp_path / "run")["stabiliser"]
    assert standing["steps"] + standing["discriminator_skipped"] == standing["updates"] == 40


def test_an_adversary_that_does_harm_is_given_up(dataset, tmp_path, caplog):
    """The likelihood is worth next to nothing beside it."""
    options = {"loss__adversarial": 1e5, "loss__feature_matching": 0.0, "discriminator__harm": 0.01}
    profile = latent_profile("vae_gan", max_steps=60, eval_every=5, ema_decay=0.0, lr=0.02, **options)
    fit(profile, dataset, tmp_path / "run", threads=1)
    records = records_of(tmp_path / "run")
    factors = [record["adversarial_factor"] for record in records if "adversarial_factor" in record]
    given_up = factors.index(0.0)
    assert 0 < given_up < 40
    assert factors == [1.0] * given_up + [0.0] * (len(factors) - given_up)
    heard = ["train/adversarial" in record for record in records]
    assert heard == [False] * 12 + [True] * given_up + [False] * (len(factors) - given_up)
    (warning,) = [one.getMessage() for one in caplog.records if "switched off" in one.getMessage()]
    assert "Lower loss.adversarial" in warning
    (event,) = [one for one in read_events(tmp_path / "run" / "events.jsonl") if one["kind"] == SWITCHED_OFF]
    assert warning == f"step {event['step']}: {event['message']}"
    assert event["step"] == next(one["step"] for one in records if one.get("adversarial_factor") == 0.0) - 1
    assert memory_of(tmp_path / "run")["stabiliser"]["off"] is True


def test_the_weight_follows_the_gradients(dataset, tmp_path):
    options = {"discriminator__weight_cap": 1e6, "discriminator__measure_every": 2, "discriminator__start": 0.0}
    fit(latent_profile("vae_gan", max_steps=9, **options), dataset, tmp_path / "run", threads=1)
    factors = [record["adversarial_factor"] for record in records_of(tmp_path / "run")]
    assert factors[0] == 0.0  # nothing is heard before it is known how loud
    assert all(factor > 0 for factor in factors[1:])
    assert [one == other for one, other in pairwise(factors[1:])] == [True, False] * 3 + [True]


ALIKE = {
    "model__dropout": 0.0,
    "latent__word_dropout": 0.0,
    "latent__level_dropout": 0.0,
    "latent__initial_log_variance": -12.0,
    "loss__echo": 0.0,  # the positions that echo are drawn
    "discriminator__start": 0.0,
    "discriminator__stages": [0.0, 0.0, 0.0],
    "discriminator__measure_every": 1,
    "discriminator__weight_cap": 5.0,
    "discriminator__r1": 0.5,
    "discriminator__r1_every": 2,
}
SURE = 1e5
"""Factor of the id table: logits so far apart that every draw is the likeliest id, whoever draws."""


def windows() -> dict[str, torch.Tensor]:
    """Four of them, of other lengths."""
    ids = torch.randint(0, 700, (4, 49), generator=torch.Generator().manual_seed(11))
    for row, length in enumerate((49, 30, 40, 20)):
        ids[row, length:] = PAD
    return {"ids": ids, "start_steps": torch.zeros(4, dtype=torch.int64), "context": torch.zeros(4)}


def learn_as(rank: int, world: int, folder: Path, run: str) -> None:
    """One update with `windows`, divided among the processes and their accumulation; what came of it is left."""
    if world > 1:
        ranks, worlds = ("RANK", "LOCAL_RANK"), ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
        os.environ |= dict.fromkeys(ranks, str(rank)) | dict.fromkeys(worlds, str(world))
        meeting = f"file://{folder / 'meeting'}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    torch.set_num_threads(1)
    profile = Run(folder / run).profile()
    accelerator, processes = start_accelerator(profile, device="cpu")
    session = build_session(Run(folder / run), profile, accelerator=accelerator, processes=processes, found=None)
    learner, sums = session.learner, Sums.on(accelerator.device)
    with torch.no_grad():
        learner.plain.embedding.ids.mul_(SURE)
    for name, weight in learner.adversary.plain.named_parameters():
        if name.endswith("original"):  # an orthogonal one has its norm in all directions: rounding chooses
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(len(name)))
    window, accumulates = windows(), profile.training.accumulation > 1
    parts = 2 if accumulates else world
    batches = [Batch.of({name: x.chunk(parts)[part] for name, x in window.items()}) for part in range(parts)]
    learner.enter(phase_at(profile, 5, 100, learner.kl_schedule))
    total = Counts.of(targets_of(window["ids"], window["context"]))
    update(learner, batches if accumulates else [batches[rank]], total, processes, sums)
    summed = sums.window()
    values = processes.sum(summed.nats, summed.loss, *summed.parts.values())
    history = [asdict(one) for one in learner.adversary.stabiliser.history]
    losses = dict(zip(("nats", "loss", *summed.parts), values, strict=True))
    (folder / f"{run}-{rank}.json").write_text(json.dumps({"losses": losses, "history": history}))
    adversary = learner.adversary
    left = adversary.plain.state_dict() | optimizer_tensors(adversary.optimizer, adversary.plain)
    save_file(left, folder / f"{run}-{rank}.safetensors")
    if world > 1:
        distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_keep_the_balance_of_one(dataset, tmp_path):
    """Losses, penalties, accuracy and balance of gradients: of two processes, and of two batches that accumulate.

    What cannot be equal is what is drawn; here the decoder is so sure of itself that all draw the same ids.
    """
    runs = {"one": (1, {}), "accumulating": (1, {"accumulation": 2}), "two": (2, {})}
    for run, (world, options) in runs.items():
        create_checked(tmp_path / run, latent_profile("vae_gan", **ALIKE, **options), dataset, processes=world)
        if world == 1:
            learn_as(0, 1, tmp_path, run)
        else:
            multiprocessing.start_processes(learn_as, (world, tmp_path, run), nprocs=world, start_method="spawn")
    found = {run: json.loads((tmp_path / f"{run}-0.json").read_text()) for run in runs}
    assert {"r1", "adversarial_latent", "feature_matching", "discriminator_music"} <= set(found["one"]["losses"])
    assert [one["balance"] is None for one in found["one"]["history"]] == [False]
    left = {run: load_file(tmp_path / f"{run}-0.safetensors") for run in runs}
    for run in ("accumulating", "two"):
        assert found[run]["losses"] == pytest.approx(found["one"]["losses"], rel=2e-3), run
        for one, other in zip(found["one"]["history"], found[run]["history"], strict=True):
            assert other == pytest.approx(one, rel=2e-3), run
        squares = [name for name in left["one"] if name.startswith("exp_avg_sq")]  # of the discriminator's gradients
        assert len(squares) > 30
        for name in squares:
            difference = torch.linalg.vector_norm(left[run][name] - left["one"][name])
            assert difference <= 0.02 * torch.linalg.vector_norm(left["one"][name]) + 1e-9, (run, name)
    assert json.loads((tmp_path / "two-1.json").read_text()) == found["two"]
    second = load_file(tmp_path / "two-1.safetensors")
    assert all(torch.equal(weight, second[name]) for name, weight in left["two"].items())


@pytest.mark.slow
def test_two_processes_go_on_with_their_balance_bit_by_bit(dataset, tmp_path):
    """One stop, in the warm start or soon after it."""
    options = {"discriminator__warm_start": 4, "discriminator__measure_every": 3, "discriminator__weight_cap": 5.0}
    options |= {"discriminator__r1": 0.5, "discriminator__r1_every": 3, "discriminator__gradient_penalty": 0.1}
    profile = latent_profile("vae_gan", max_steps=18, data__batch_size=2, eval_every=6, **options)
    fit(profile, dataset, tmp_path / "whole", processes=2, threads=1)
    interrupts = Interrupts()

    def report(progress):
        if progress.done == 8:
            interrupts.stop = signal.SIGTERM

    fit(profile, dataset, tmp_path / "parts", processes=2, threads=1, report=report, interrupts=interrupts)
    assert resume(tmp_path / "parts").step == 18
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    assert memory_of(tmp_path / "parts") == memory_of(tmp_path / "whole")
