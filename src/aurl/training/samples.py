"""Pieces written while training, so that one can hear how it goes."""

import logging
from pathlib import Path

import torch

from aurl.generation.pieces import make_pieces
from aurl.generation.sampling import Sampler
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
    model = build_model(profile.model, codec)
    model.load_state_dict(learner.evaluated.state_dict())
    told = profile.generation
    sampler = Sampler(temperature=told.temperature, top_k=told.top_k, top_p=told.top_p, min_p=told.min_p)
    pieces = make_pieces(
        model.to(learner.accelerator.device).eval(),
        codec,
        context=profile.data.seq_len,
        seeds=[profile.training.seed],
        sampler=sampler,
        seconds=profile.training.sample_seconds,
        max_note_beats=told.max_note_beats,
        interrupts=interrupts,
    )
    path.parent.mkdir(exist_ok=True)
    for piece in pieces:  # none where training was asked to stop
        save_midi(piece.score, path)
    return [path] if pieces else []
