"""Pieces written while training, so that one can hear how it goes, and what musical metrics say of them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aurl.data.dataset import open_dataset
from aurl.evaluation.metrics import METRICS
from aurl.generation.pieces import Piece, make_pieces
from aurl.generation.request import Request
from aurl.midi.clock import ticks_at
from aurl.midi.score import Notes, Score
from aurl.midi.write import save_midi
from aurl.model.build import build_model, model_codec
from aurl.model.lora import merged
from aurl.progress import Interrupts
from aurl.training.overlap import overlap
from aurl.training.ranking import SAMPLE
from aurl.training.session import Session

logger = logging.getLogger(__name__)
COMPARED_PIECES = 128
"""Of the valid split, the first ones; more would not sharpen what few samples say."""
OVERLAP = "overlap"


@dataclass(frozen=True)
class Sampled:
    """What came of it.

    Args:
        paths: files that were written.
        metrics: of all pieces, by name in the log; empty where it failed.
    """

    paths: Sequence[Path] = ()
    metrics: dict[str, float] = field(default_factory=dict)


def sample_names() -> tuple[str, ...]:
    """Names in the log of all that is measured of samples."""
    each = [name for metric in METRICS for name in (metric, f"{metric}_{OVERLAP}")]
    return tuple(f"{SAMPLE}{name}" for name in (*each, OVERLAP))


def write_samples(session: Session, interrupts: Interrupts) -> Sampled | None:
    """Make pieces by the weights that are validated, keep the first, measure all; called in the main process only.

    Pieces are not worth a run: whatever goes wrong is logged, and nothing comes of it. Training's random numbers are
    left as they are.

    Returns:
        None where training was asked to stop meanwhile.
    """
    path = session.run.samples / f"step-{session.state.step:08d}.mid"
    try:
        with torch.random.fork_rng(devices=[]):
            pieces = _make(session, interrupts)
        if interrupts.stop is not None or not pieces:
            return None
        path.parent.mkdir(exist_ok=True)
        save_midi(pieces[0].score, path)
        seconds = session.profile.training.sample_seconds
        metrics = measure([piece.score for piece in pieces], reference(session.data.folder, seconds))
    except Exception:
        logger.exception("no sample at step %d", session.state.step)
        return Sampled()
    logger.info("sample saved: %s", path.name)
    return Sampled([path], metrics)


def _make(session: Session, interrupts: Interrupts) -> list[Piece]:
    learner, profile = session.learner, session.profile
    codec = model_codec(profile, session.data.codec)
    # A model of its own: Accelerate has put autocast around the forward of the one that is trained.
    model = build_model(profile, codec, learner.plain.styles)
    model.load_state_dict(merged(learner.evaluated.state_dict()))
    return make_pieces(
        model.to(learner.accelerator.device).eval(),
        codec,
        Request(seed=profile.training.seed, count=profile.watching.samples),
        context=profile.data.seq_len,
        defaults=profile.generation.model_copy(update={"max_seconds": profile.training.sample_seconds}),
        interrupts=interrupts,
    )


def measure(scores: Sequence[Score], known: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """Means of the musical metrics, and how far their distributions overlap with those of real music.

    Args:
        scores: of samples.
        known: metric → its values for real music.

    Returns:
        By name in the log: each metric's mean and overlap (0 to 1), and the mean of all overlaps; NaN where no piece
        has anything to measure.
    """
    found, overlaps = {}, []
    for name, metric in METRICS.items():
        values = np.array([metric(score) for score in scores])
        values = values[np.isfinite(values)]
        shared = overlap(values, known[name])
        found[f"{SAMPLE}{name}"] = float(values.mean()) if len(values) else float("nan")
        found[f"{SAMPLE}{name}_{OVERLAP}"] = shared
        overlaps.append(shared)
    finite = [value for value in overlaps if np.isfinite(value)]
    return found | {f"{SAMPLE}{OVERLAP}": float(np.mean(finite)) if finite else float("nan")}


@lru_cache(maxsize=1)
def reference(dataset: Path, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Metric → its finite values for pieces of the valid split, each as long as a sample.

    Args:
        dataset: its folder.
        seconds: of each piece's beginning.
    """
    data = open_dataset(dataset)
    scores = [beginning(data.codec.decode(ids), seconds) for ids in islice(data.pieces("valid"), COMPARED_PIECES)]
    values = {name: np.array([metric(score) for score in scores]) for name, metric in METRICS.items()}
    return {name: found[np.isfinite(found)] for name, found in values.items()}


def beginning(score: Score, seconds: float) -> Score:
    """The first `seconds` of a piece: notes that begin there, cut where it ends."""
    end = int(ticks_at(score, [seconds])[0])

    def cut(notes: Notes) -> Notes:
        begun = notes.take(notes.onset < end)
        return begun.with_durations(np.minimum(begun.duration, end - begun.onset))

    return score.map_notes(cut)
