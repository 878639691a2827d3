"""Codes in the folder of their run, so that they are encoded once."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aurl.generation.load import Loaded
from aurl.latent.codes import Codes, LevelCodes, encode_windows, open_windows, require_latents
from aurl.latent.factors import FACTORS
from aurl.progress import Report, silent
from aurl.storage import MANIFEST_NAME, write_bytes

FOLDER = "latent"
VERSION = 1
"""Raised whenever the same model and music would give other codes."""
DIGITS = 16
"""Of the digest that is in the file's name."""
FACTS = "facts"

logger = logging.getLogger(__name__)


def load_codes(
    loaded: Loaded, dataset: Path | None = None, *, split: str = "valid", limit: int = 512, report: Report = silent
) -> Codes:
    """The codes of at most `limit` windows of a split, from the run's folder where they are there already.

    Args:
        loaded: the run's model.
        dataset: where the data set is now; where the run says that it is by default.
        split: "train", "valid" or "test".
        limit: windows, evenly spread, ≥ 2.
        report: told while they are encoded.

    Raises:
        UsageError: the model has no latents, or the data set cannot be used.
        NotFoundError: there is no such data set.
    """
    require_latents(loaded)
    info, windows = open_windows(loaded, dataset, split=split)
    question = {
        "version": VERSION,
        "checkpoint": hashlib.sha256((loaded.checkpoint / MANIFEST_NAME).read_bytes()).hexdigest(),
        "is_average": loaded.is_average,
        "generation": info.manifest.generation,
        "split": split,
        "windows": min(limit, len(windows)),
        "factors": list(FACTORS),
    }
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
    path = loaded.run / FOLDER / f"codes-{digest[:DIGITS]}.safetensors"
    known = _read(path, question)
    if known is not None:
        return known
    found = encode_windows(loaded, info, windows, limit=limit, report=report)
    try:
        write_bytes(path, _bytes(found, question))
    except OSError as error:  # they can be made again
        logger.warning("%s cannot be kept: %s", path, error)
    return found


def _bytes(codes: Codes, question: Mapping[str, Any]) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"piece": codes.piece, "tempo": codes.tempo}
    for name, level in codes.levels.items():
        arrays |= {
            f"{name}.mean": level.mean,
            f"{name}.log_variance": level.log_variance,
            f"{name}.window": level.window,
        }
        arrays |= {f"{name}.measured.{factor}": values for factor, values in level.measured.items()}
    facts = {
        "question": question,
        "run": codes.run,
        "checkpoint": codes.checkpoint,
        "split": codes.split,
        "keys": {name: list(level.keys) for name, level in codes.levels.items()},
        "sources": list(codes.sources),
        "words": {name: list(values) for name, values in codes.words.items()},
    }
    whole: bytes = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, {FACTS: json.dumps(facts)}
    )
    return whole


def _read(path: Path, question: Mapping[str, Any]) -> Codes | None:
    """What was kept; None where nothing was, or it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if facts["question"] != question:
            return None
        levels = {name: _level(name, arrays, keys) for name, keys in facts["keys"].items()}
        about = {name: facts[name] for name in ("run", "checkpoint", "split", "sources", "words")}
        return Codes(levels=levels, piece=arrays["piece"], tempo=arrays["tempo"], **about)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s cannot be read (%s); its codes are made again", path, error)
        return None


def _level(name: str, arrays: Mapping[str, NDArray[Any]], keys: list[str]) -> LevelCodes:
    own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    measured = {factor: own[f"measured.{factor}"] for factor in FACTORS}
    return LevelCodes(own["mean"], own["log_variance"], own["window"], measured, keys)
