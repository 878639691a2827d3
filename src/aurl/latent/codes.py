"""What an encoder makes of the music of a data set: posteriors of every segment, beside what is heard there."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aurl.controls.told import Controls
from aurl.data.dataset import DatasetInfo, Rows, TokenDataset, open_dataset
from aurl.errors import UsageError
from aurl.generation.load import Loaded
from aurl.latent.factors import Floats, factors_of, keys_of, read_played
from aurl.model.latents import Level
from aurl.model.prior.conditions import UNKNOWN
from aurl.progress import Progress, Report, silent
from aurl.storage import read_json
from aurl.tokens.vocabulary import PAD

FEWEST_WINDOWS = 2
"""Of a single window nothing can be compared."""
WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class LevelCodes:
    """All real latents of one level, N in number, in order of window and place.

    Args:
        mean: (N, size) of the posteriors.
        log_variance: (N, size) of the posteriors.
        window: (N,) in which window each is.
        measured: factor → (N,), see `factors.FACTORS`.
        keys: of each, by its own notes; empty where there is none.
    """

    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    window: NDArray[np.int64]
    measured: Mapping[str, Floats]
    keys: Sequence[str]

    def __len__(self) -> int:
        return len(self.window)

    def draw(self, seed: int) -> NDArray[np.float32]:
        """`(N, size)`: one draw from each posterior."""
        noise = np.random.default_rng(seed).standard_normal(self.mean.shape, np.float32)
        drawn: NDArray[np.float32] = self.mean + np.exp(0.5 * self.log_variance) * noise
        return drawn


@dataclass(frozen=True)
class Codes:
    """The latents of W windows of a split.

    Args:
        run: name of the run.
        checkpoint: name of its checkpoint.
        split: of the data set.
        levels: level → its latents, coarse to fine.
        piece: (W,) number of each window's piece.
        sources: of each window, the file name of its piece.
        tempo: (W,) beats per minute at the start of the piece.
        words: label of the data set (composer, …) or "meter" → of each window; empty where a piece has none. A label
            "key" is not asked: what is heard goes by that name.
    """

    run: str
    checkpoint: str
    split: str
    levels: Mapping[str, LevelCodes]
    piece: NDArray[np.int64]
    sources: Sequence[str]
    tempo: Floats
    words: Mapping[str, Sequence[str]]

    def factors(self, level: str) -> dict[str, Floats]:
        """Factor → `(N,)` numbers of the latents of a level; NaN where there is none."""
        codes = self.levels[level]
        return {**codes.measured, "tempo": self.tempo[codes.window]}

    def labels(self, level: str) -> dict[str, list[str]]:
        """Label → N words for the latents of a level; empty where there is none."""
        codes = self.levels[level]
        told = {name: [values[window] for window in codes.window.tolist()] for name, values in self.words.items()}
        return {"key": list(codes.keys), **{name: words for name, words in told.items() if name != "key"}}

    def groups(self, level: str) -> NDArray[np.int64]:
        """`(N,)`: the piece of each latent of a level; latents of one piece are not independent."""
        return self.piece[self.levels[level].window]


def require_latents(loaded: Loaded) -> None:
    """Make sure that there is something to look into.

    Raises:
        UsageError: the model has no latents.
    """
    if not loaded.model.levels:
        raise UsageError(
            f"{loaded.run.name} is of mode {loaded.profile.model.mode}, which has no latents",
            hint="train one that has: aurl train --profile vae",
        )


def open_windows(
    loaded: Loaded, dataset: Path | None = None, *, split: str = "valid"
) -> tuple[DatasetInfo, TokenDataset]:
    """The data set of a run, and the windows of a split of it, as the run's training cuts them.

    Args:
        loaded: the run's model.
        dataset: folder of the data set; where the run says that it is by default.
        split: "train", "valid" or "test".

    Raises:
        UsageError: the split has too little, or the data set is spelt otherwise than that of the run.
        NotFoundError: there is no such data set.
    """
    facts = read_json(loaded.run / "run.json")
    info = open_dataset(Path(facts["dataset"]) if dataset is None else dataset)
    if facts["codec"] != info.codec.signature():
        raise UsageError(
            f"{info.folder} is not spelt as the data set of {loaded.run.name}", hint="name the right one with --data"
        )
    label, styles = loaded.profile.latent.style, facts.get("styles", ())
    numbers = _style_numbers(info, split, label, styles) if label is not None and styles else None
    seq_len, codec = loaded.profile.data.seq_len, loaded.codec
    controls = Controls(codec, seq_len=seq_len) if codec.signature() != info.codec.signature() else None
    windows = TokenDataset(info.folder, split, seq_len=seq_len, controls=controls, styles=numbers)
    if len(windows.pieces) == 0 or len(windows) < FEWEST_WINDOWS:
        raise UsageError(
            f"the {split} split of {info.folder} has {len(windows) if len(windows.pieces) else 0} windows",
            hint="at least two are needed: choose another --split, or prepare a data set that has them",
        )
    return info, windows


def _style_numbers(info: DatasetInfo, split: str, label: str, styles: Sequence[str]) -> NDArray[np.int64]:
    places = {style: place for place, style in enumerate(styles)}
    return np.array([places.get(labels.get(label, ""), UNKNOWN) for labels in info.labels(split)], np.int64)


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` numbers below `count`, evenly spread."""
    taken = min(count, limit)
    return [number * count // taken for number in range(taken)]


def encode_windows(
    loaded: Loaded, info: DatasetInfo, windows: TokenDataset, *, limit: int, report: Report = silent
) -> Codes:
    """Encode at most `limit` windows, evenly spread over a split.

    Args:
        loaded: a model with latents.
        info: of the data set.
        windows: of a split of it.
        limit: ≥ 2.
        report: told after each batch.
    """
    chosen = spread(len(windows), limit)
    gathered: dict[str, defaultdict[str, list[NDArray[Any]]]] = {
        level.name: defaultdict(list) for level in loaded.model.levels
    }
    keys: dict[str, list[str]] = {level.name: [] for level in loaded.model.levels}
    for begin in range(0, len(chosen), WINDOWS_AT_ONCE):
        some = chosen[begin : begin + WINDOWS_AT_ONCE]
        rows = windows.__getitems__(some)
        for name, columns in _posteriors(loaded, rows).items():
            for column, value in columns.items():
                gathered[name][column].append(value + begin if column == "window" else value)
        for level, measured, named in _heard(loaded, windows, rows, [windows.windows.at(one).piece for one in some]):
            keys[level.name] += named
            for factor, values in measured.items():
                gathered[level.name][factor].append(values)
        report(Progress("encode", begin + len(some), len(chosen), "windows"))
    levels = {name: _level(columns, keys[name]) for name, columns in gathered.items()}
    return Codes(loaded.run.name, loaded.checkpoint.name, windows.pieces.split, levels, *_facts(info, windows, chosen))


@torch.inference_mode()
def _posteriors(loaded: Loaded, rows: Rows) -> dict[str, dict[str, NDArray[Any]]]:
    device = next(loaded.model.parameters()).device
    ids, start_steps = (torch.from_numpy(part).to(device) for part in rows[:2])
    found = {}
    for name, posterior in loaded.model.encode(ids[:, 1:], start_steps).items():
        real = posterior.real
        found[name] = {
            "mean": posterior.mean[real].float().cpu().numpy(),
            "log_variance": posterior.log_variance[real].float().cpu().numpy(),
            "window": real.nonzero()[:, 0].cpu().numpy(),
        }
    return found


def _heard(
    loaded: Loaded, windows: TokenDataset, rows: Rows, pieces: Sequence[int]
) -> Iterator[tuple[Level, dict[str, Floats], list[str]]]:
    """Factors and keys of all real segments of each level in each row."""
    for ids, start, piece in zip(rows.ids, rows.start_steps.tolist(), pieces, strict=True):
        own = ids[ids != PAD]
        played = read_played(own, start, drums=bool(windows.pieces.columns.drums[piece]))
        for level in loaded.model.levels:
            count = level.count(len(own) - 1)
            measured = factors_of(played, count, level.tokens, time_base=loaded.codec.time_base)
            yield level, measured, keys_of(played, count, level.tokens)


def _level(columns: Mapping[str, list[NDArray[Any]]], keys: Sequence[str]) -> LevelCodes:
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    mean, log_variance, window = (joined.pop(name) for name in ("mean", "log_variance", "window"))
    return LevelCodes(mean, log_variance, window, joined, keys)


def _facts(
    info: DatasetInfo, windows: TokenDataset, chosen: Sequence[int]
) -> tuple[NDArray[np.int64], list[str], Floats, dict[str, list[str]]]:
    """What is known of the piece of each window."""
    pieces = [windows.windows.at(number).piece for number in chosen]
    records = {piece: windows.pieces.record(piece) for piece in set(pieces)}
    labels = info.labels(windows.pieces.split)
    names = sorted({name for piece in records for name in labels[piece]})
    words = {name: [labels[piece].get(name, "") for piece in pieces] for name in names}
    words["meter"] = [records[piece].meter for piece in pieces]
    tempo = np.array([records[piece].tempo for piece in pieces], np.float64)
    return np.array(pieces, np.int64), [Path(records[piece].source).name for piece in pieces], tempo, words
