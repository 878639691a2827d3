"""Pieces written while training, so that one can hear how it goes."""

import logging
from pathlib import Path

import torch

from aurl.generation.pieces import make_pieces
from aurl.generation.request import Request
from aurl.midi.write import save_midi
from aurl.model.build import build_model
from aurl.progress import Interrupts
from aurl.training.session import Session

logger = logging.getLogger(__name__)


def write_samples(session: Session, interrupts: Interrupts) -> list[Path]:
    """Write one piece by the weights that are validated; called in the main process only.

    A piece is not worth a run: whatever goes wrong is logged, and the list is empty. Training's random numbers are left
    as they are.
    """
    path = session.run.samples / f"step-{session.state.step:08d}.mid"
    try:
        with torch.random.fork_rng(devices=[]):
            written = _write(session, path, interrupts)
    except Exception:
        logger.exception("no sample at step %d", session.state.step)
        return []
    if written:
        logger.info("sample saved: %s", path.name)
    return written


def _write(session: Session, path: Path, interrupts: Interrupts) -> list[Path]:
    learner, profile, codec = session.learner, session.profile, session.data.codec
    # A model of its own: Accelerate has put autocast around the forward of the one that is trained.
    model = build_model(profile, codec, learner.plain.styles)
    model.load_state_dict(learner.evaluated.state_dict())
    pieces = make_pieces(
        model.to(learner.accelerator.device).eval(),
        codec,
        Request(seed=profile.training.seed),
        context=profile.data.seq_len,
        defaults=profile.generation.model_copy(update={"max_seconds": profile.training.sample_seconds}),
        interrupts=interrupts,
    )
    path.parent.mkdir(exist_ok=True)
    for piece in pieces:  # none where training was asked to stop
        save_midi(piece.score, path)
    return [path] if pieces else []
