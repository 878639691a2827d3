"""One sitting of training in this process: lock the run, bring it to where it stands, train, write down how it went."""

import logging
import os
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from aurl.profile import Profile
from aurl.progress import Interrupts, Report, silent
from aurl.storage import lock
from aurl.training.acceleration import start_accelerator
from aurl.training.checkpoint import Found
from aurl.training.dashboard import leave_dashboard
from aurl.training.events import forget_after
from aurl.training.hardware import default_threads
from aurl.training.log import logging_to, truncate_metrics
from aurl.training.loop import AGAIN, Latest, Loop, Stop
from aurl.training.processes import local_world
from aurl.training.recording import recording
from aurl.training.result import FitResult
from aurl.training.rollback import leaving, read_rollbacks
from aurl.training.run import Run
from aurl.training.samples import write_samples
from aurl.training.session import Session
from aurl.training.setup import build_session, checkpoints_of
from aurl.training.state import TrainingState

logger = logging.getLogger(__name__)


def train_here(
    run: Run, *, threads: int | None, device: str | None, report: Report, interrupts: Interrupts
) -> FitResult:
    """Train a run from its newest checkpoint, or from the start; each process of the run calls this.

    Args:
        run: made by `create_run`.
        threads: torch threads of this process; None: as many as in the last sitting, or a fair share of the cores.
        device: "cpu" leaves a GPU alone.
        report: told after every step, in the main process.
        interrupts: looked at between steps.
    """
    profile, facts = run.profile(), run.facts()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads or facts.get("threads") or default_threads(local_world()))
    accelerator, processes = start_accelerator(profile, device=device, precision=facts.get("precision"))
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads_before)
        if processes.is_main:
            stack.enter_context(lock(run.lock))
            stack.enter_context(logging_to(run.log))
            stack.callback(leave_dashboard, run)
        try:
            damaged, samples = dict[str, str](), list[Path]()
            while True:
                accelerator.free_memory()
                found = processes.on_main(lambda: _newest(run, profile))
                damaged |= found.damaged if found is not None else {}
                session = build_session(run, profile, accelerator=accelerator, processes=processes, found=found)
                reason, latest = _train(session, report if processes.is_main else silent, interrupts)
                latest.samples = samples = [*samples, *latest.samples]
                if reason not in AGAIN:
                    return _result(session, reason, latest, damaged)
                del session  # the next one needs its memory
        except Exception as error:
            if processes.is_main:
                with suppress(OSError):  # a full disk may be why it failed, and is then the error to tell of
                    run.update(status="failed", error=f"{type(error).__name__}: {error}")
            raise


def _newest(run: Run, profile: Profile) -> Found | None:
    """The checkpoint to go on from; whatever is newer than it is cleared away."""
    checkpoints = checkpoints_of(run, profile)
    found = checkpoints.find(leaving(read_rollbacks(run.events)))
    checkpoints.tidy(found)
    records = 0 if found is None else TrainingState.from_json(found.state.get("training")).records
    dropped = truncate_metrics(run.metrics, records)
    forget_after(run.events, 0 if found is None else found.step)
    if found is not None:
        logger.info("going on from step %d; %d lines of metrics after it dropped", found.step, dropped)
    return found


def _train(session: Session, report: Report, interrupts: Interrupts) -> tuple[Stop, Latest]:
    run, is_main = session.run, session.processes.is_main
    with ExitStack() as stack:
        recorder = stack.enter_context(recording(session)) if is_main else None
        if is_main:
            run.update(status="running", error=None, process=os.getpid(), **session.facts())
        loop = Loop(session, write_samples, recorder, report, interrupts)
        return loop.run(), loop.latest


def _result(session: Session, reason: Stop, latest: Latest, damaged: dict[str, str]) -> FitResult:
    """What it came to; `run.json` is told."""
    run, state, is_main = session.run, session.state, session.processes.is_main
    status = "interrupted" if reason is Stop.SIGNAL else "finished"
    if is_main:
        outcome = {"step": state.step, "best_step": state.best_step, "best_nats_per_note": state.best_nats_per_note}
        run.update(status=status, reason=reason.value, seconds=state.seconds, process=None, **outcome)
        logger.info("%s at step %d: %s", status, state.step, reason.value)
    return FitResult(
        run_folder=run.folder,
        status=status,
        reason=reason.value,
        signal=latest.signal,
        step=state.step,
        tokens=state.tokens,
        seconds=state.seconds,
        parameters=session.learner.parameters,
        best_step=state.best_step,
        best_nats_per_note=state.best_nats_per_note,
        metrics=latest.metrics,
        samples=tuple(latest.samples),
        damaged=damaged,
        is_main=is_main,
    )
