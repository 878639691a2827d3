"""What is learned in pieces is what would have been learned at once; `memory_for` makes allocations fail."""

import json
import logging
import os
import shutil
import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.support.memory import memory_for
from tests.support.training import latent_profile, small_profile, tensors, told
from torch import distributed, multiprocessing

from aurl.errors import AurlError
from aurl.progress import Interrupts, silent
from aurl.storage import write_json, write_manifest
from aurl.training.batches import Batch, batch_counts
from aurl.training.processes import Processes
from aurl.training.run import Run
from aurl.training.setup import create_checked
from aurl.training.sitting import train_here
from aurl.training.splitting import Splitting, is_out_of_memory, split
from aurl.training.trainer import fit, resume


def batch(rows: int, length: int) -> Batch:
    ids = torch.arange(rows * (length + 1)).reshape(rows, length + 1) % 300 + 10
    nothing = torch.zeros(rows, dtype=torch.int64)
    view = {"step": ids, "beat": ids * 2}
    return Batch.of({"ids": ids, "start_steps": torch.arange(rows), "context": nothing, "style": nothing, **view})


@pytest.mark.parametrize(("rows", "count"), [(7, 1), (7, 3), (4, 4), (2, 5)])
def test_pieces_are_all_of_a_batch_in_order(rows, count):
    whole = batch(rows, 6)
    pieces = split(whole, count)
    assert len(pieces) == min(rows, count)
    for name in ("inputs", "targets", "following", "start_steps", "style"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(whole, name))
    for name, view in whole.hybrid.items():
        assert torch.equal(torch.cat([piece.hybrid[name] for piece in pieces]), view)
    assert batch_counts(pieces) == whole.counts
    sizes = [len(piece.inputs) for piece in pieces]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_a_failed_allocation_looks_like(error, expected):
    assert is_out_of_memory(error) == expected


def test_torch_says_so_on_a_cpu():
    """A real allocation of an exbibyte."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def limited(rows_times_length: int):
    """An attempt that fails where a piece is larger, and what it was given."""
    seen = []

    def attempt(pieces):
        sizes = [[tuple(piece.inputs.shape) for piece in one] for one in pieces]
        seen.append(sizes)
        if any(rows * length > rows_times_length for one in sizes for rows, length in one):
            raise torch.OutOfMemoryError
        return sizes

    return attempt, seen


def test_pieces_are_halved_until_they_fit_and_stay_so(caplog):
    splitting, undone = Splitting(), []
    attempt, seen = limited(20)
    found = splitting.learn([batch(3, 5), batch(9, 10)], attempt, lambda: undone.append(len(seen)))
    assert found == [[(3, 5)], [(2, 10), (2, 10), (2, 10), (2, 10), (1, 10)]]
    assert undone == [1, 2, 3]  # rows 9, 5, 3 and then 2: the limit is 20 places
    assert splitting.places == 20
    message = "9 windows of 10 ids do not fit into memory: from now on at most 2 are learned at once"
    assert [record.levelno for record in caplog.records if message in record.getMessage()] == [logging.WARNING]
    caplog.clear()
    assert splitting.learn([batch(4, 10), batch(4, 5)], attempt, undone.clear) == [[(2, 10), (2, 10)], [(4, 5)]]
    assert not caplog.records
    other = Splitting()
    other.load_state_dict(json.loads(json.dumps(splitting.state_dict())))
    assert other.places == 20


def test_a_row_that_does_not_fit_is_told_of_with_advice():
    attempt, seen = limited(20)
    with pytest.raises(AurlError, match="a window of 30 ids does not fit into memory") as caught:
        Splitting().learn([batch(2, 30)], attempt, lambda: None)
    assert all(key in caught.value.hint for key in ("data.seq_len", "model.checkpointing", "training.precision"))
    assert seen == [[[(2, 30)]], [[(1, 30), (1, 30)]]]


def test_another_error_is_not_taken_for_it():
    def attempt(pieces):
        raise RuntimeError("no such operation")

    with pytest.raises(RuntimeError, match="no such operation"):
        Splitting().learn([batch(2, 3)], attempt, lambda: None)


def test_only_what_is_larger_than_before_is_new():
    splitting = Splitting()
    assert splitting.is_new([batch(2, 5)], "without state")
    splitting.learn([batch(2, 5)], lambda pieces: None, lambda: None)
    assert not splitting.is_new([batch(1, 10), batch(2, 4)], "without state")
    assert splitting.is_new([batch(1, 4), batch(3, 4)], "without state")
    assert splitting.is_new([batch(2, 5)], "with state")


def test_what_is_agreed_on_is_kept_to_and_cannot_be_tried_again():
    splitting = Splitting()
    splitting.load_state_dict({"places": 20})
    attempt, seen = limited(20)
    found = splitting.learn_together([batch(4, 10), batch(4, 5)], attempt, Processes(0, 1))
    assert found == [[(2, 10), (2, 10)], [(4, 5)]]
    assert splitting.places == 20
    with pytest.raises(AurlError, match="in the middle of a step") as caught:
        Splitting().learn_together([batch(4, 10)], attempt, Processes(0, 1))
    assert "data.batch_size" in caught.value.hint
    assert len(seen) == 2


def test_a_rehearsal_is_of_the_largest_piece_and_heard_by_nobody():
    splitting, heard, undone = Splitting(lambda own: own * 2), [], []
    attempt, seen = limited(20)

    def rehearsal(pieces):
        heard.append(splitting.add_up(torch.ones(())).item())
        return attempt(pieces)

    splitting.rehearse([batch(3, 5), batch(4, 10)], rehearsal, lambda: undone.append(True))
    assert seen == [[[(4, 10)]], [[(2, 10)]]]
    assert heard == [1.0, 1.0]
    assert splitting.add_up(torch.ones(())).item() == 2.0
    assert len(undone) == 2  # after the failure, and in the end


def gradients(run) -> dict[str, torch.Tensor]:
    """AdamW's first moment after one step is a tenth of the gradient."""
    state = load_file(run / "checkpoints" / "step-00000001" / "optimizer.safetensors")
    return {name: 10 * moment for name, moment in state.items() if name.startswith("exp_avg:")}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_gradient_is_that_of_the_whole_batch(dataset, tmp_path, accumulation):
    """With accumulation the first batch has left its gradient behind where the second fails."""
    adamw = {"kind": "adamw", "betas": [0.9, 0.95]}
    profile = small_profile(
        max_steps=1,
        model__dropout=0.0,
        optimizer=adamw,
        clipping={"kind": "none"},
        accumulation=accumulation,
        data__batch_tokens=200,
    )
    fit(profile, dataset, tmp_path / "whole", threads=1)
    with memory_for(3) as begun:
        fit(profile, dataset, tmp_path / "pieces", threads=1)
    assert max(begun) > 3
    assert begun[-1] <= 3
    whole, pieces = gradients(tmp_path / "whole"), gradients(tmp_path / "pieces")
    assert len(whole) > 5
    for name, gradient in whole.items():
        torch.testing.assert_close(pieces[name], gradient, rtol=1e-4, atol=1e-6)
        assert gradient.abs().max() > 1e-4
    lines = [told(tmp_path / name)[0] for name in ("whole", "pieces")]
    for name in ("train/loss", "train/nats_per_token", "gradient_norm", "tokens"):
        assert lines[1][name] == pytest.approx(lines[0][name], rel=1e-5)


@pytest.mark.parametrize("mode", ["transformer", "vae", "vae_gan"])
def test_a_failed_attempt_leaves_no_trace(dataset, tmp_path, mode):
    """Found out after a step, or known by then: noise, buffers and counts are the same, bit by bit."""
    make = small_profile if mode == "transformer" else partial(latent_profile, mode)
    fit(make(max_steps=3, accumulation=2), dataset, tmp_path / "found", threads=1)
    shutil.copytree(tmp_path / "found", tmp_path / "known")
    know_places(tmp_path / "known" / "checkpoints" / "step-00000003", 2 * 48)
    for name, rows in (("found", {4, 2}), ("known", {2})):
        with memory_for(2) as begun:
            resume(tmp_path / name, changes={"max_steps": 6})
        assert set(begun) == rows
        assert begun.count(4) == (name == "found")
    assert told(tmp_path / "found") == told(tmp_path / "known")
    assert tensors(tmp_path / "found") == tensors(tmp_path / "known")


def test_memory_may_become_short_later(dataset, tmp_path):
    """Where batches have fitted before: what was heard in the attempt that failed does not count twice."""
    options = {"discriminator__start": 0.0, "discriminator__stages": [0.0] * 3, "discriminator__measure_every": 100}
    with ExitStack() as short:
        begun = []

        def report(progress):
            if progress.done == 3:
                begun.append(short.enter_context(memory_for(2)))

        profile = latent_profile("vae_gan", max_steps=5, accumulation=2, **options)
        fit(profile, dataset, tmp_path / "run", threads=1, report=report)
    assert begun[0].count(4) == 1
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-00000005" / "state.json").read_text())
    tokens = [record["tokens"] for record in told(tmp_path / "run") if "lr" in record]
    assert state["memory"]["stabiliser"]["seen"][2] == tokens[-1] - tokens[0]  # the first update was measured


def know_places(checkpoint: Path, places: int) -> None:
    """Let a checkpoint know how much is learned at once."""
    state = json.loads((checkpoint / "state.json").read_text())
    state["memory"]["splitting"]["places"] = places
    write_json(checkpoint / "state.json", state)
    write_manifest(checkpoint)


def test_what_was_found_out_is_kept_by_checkpoints(dataset, tmp_path):
    profile = small_profile(max_steps=9)
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM if progress.done == 4 else interrupts.stop

    with memory_for(1):
        fit(profile, dataset, tmp_path / "whole", threads=1)
        fit(profile, dataset, tmp_path / "parts", threads=1, interrupts=interrupts, report=report)
    with memory_for(1) as begun:
        assert resume(tmp_path / "parts").step == 9
    assert set(begun) == {1}
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")


def _train_as(rank: int, folder: Path, rows: tuple[int, int]) -> None:
    """One of two processes with `rows[rank]` of memory; its weights and how it came to them are left in the folder."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    with memory_for(rows[rank]) as begun:
        train_here(Run(folder / "run"), threads=1, device="cpu", report=silent, interrupts=Interrupts())
    (folder / f"{rank}.json").write_text(json.dumps(begun))
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_agree_before_a_step(dataset, tmp_path):
    """Both learn as many pieces as the poorer one needs, although the mean that is free is one of both."""
    profile = latent_profile(
        "vae",
        max_steps=4,
        model__dropout=0.0,
        latent__word_dropout=0.0,
        latent__level_dropout=0.0,
        latent__initial_log_variance=-12.0,
        loss__free_bits_global=0.0,
        loss__free_bits_local=0.0,
        loss__free_bits_fine=0.0,
        loss__echo=0.0,
        training__optimizer={"kind": "adamw"},
    )
    for name, rows in (("plenty", (4, 4)), ("poor", (4, 1))):
        create_checked(tmp_path / name / "run", profile, dataset, processes=2)
        multiprocessing.start_processes(_train_as, (tmp_path / name, rows), nprocs=2, start_method="spawn")
    rich, poor = (json.loads((tmp_path / "poor" / f"{rank}.json").read_text()) for rank in range(2))
    assert rich == [4] + [1] * 17  # a rehearsal and four pieces; again both with momenta; then pieces alone
    assert poor == [4, 2, 1] + [1] * 17
    compared = 0
    for expected, found in zip(told(tmp_path / "plenty" / "run"), told(tmp_path / "poor" / "run"), strict=True):
        for key in {"train/loss", "gradient_norm", "valid/elbo_per_note"} & expected.keys():
            assert found[key] == pytest.approx(expected[key], rel=2e-3), (expected["step"], key)
            compared += 1
    assert compared == 2 * 4 + 1
