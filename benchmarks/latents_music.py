"""What runs play: reconstructions of held-out songs and samples from the prior, beside the songs themselves."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imread, imsave
from numpy.typing import NDArray

from aurl.data.dataset import open_dataset
from aurl.evaluation.metrics import METRICS
from aurl.evaluation.reconstruction import note_match
from aurl.export.picture import picture
from aurl.generation.load import Loaded
from aurl.generation.pieces import make_pieces
from aurl.generation.reconstruct import reconstruct
from aurl.generation.request import Request
from aurl.midi.clock import bar_ticks
from aurl.midi.score import Score
from aurl.midi.write import save_midi
from aurl.preprocess.excerpt import excerpt
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar

SHOWN = 4
"""Pieces of each kind that are kept as MIDI and pictures."""
GRID = 512
BANDWIDTHS_AROUND = 3
WHITE = 1.0


@dataclass(frozen=True)
class Songs:
    """Held-out songs.

    Args:
        codec: of their ids.
        ids: BOS … EOS of each.
    """

    codec: Codec
    ids: Sequence[NDArray[np.integer]]

    @classmethod
    def of(cls, dataset: Path, count: int) -> "Songs":
        """Some from all over the valid split."""
        opened = open_dataset(dataset)
        pieces = list(opened.pieces("valid"))
        chosen = np.unique(np.linspace(0, len(pieces) - 1, min(count, len(pieces))).round().astype(int))
        return cls(opened.codec, [pieces[number] for number in chosen])

    def from_the_middle(self) -> "Songs":
        """The same songs from the bar in their middle on."""
        return Songs(self.codec, [self.codec.encode(_second_half(score)).ids for score in self.scores()])

    def longer_than(self, tokens: int) -> "Songs":
        return Songs(self.codec, [ids for ids in self.ids if len(ids) > tokens])

    def scores(self, tokens: int | None = None) -> list[Score]:
        """The songs, or what their first ids say; notes that sound then end there."""
        return [self.codec.decode(ids[:tokens]) for ids in self.ids]


def reconstructions(loaded: Loaded, songs: Songs, tokens: int) -> list[Score]:
    """What comes back through latents alone, the likeliest id each time."""
    return [reconstruct(loaded, song, tokens=tokens) for song in songs.scores()]


def note_f1(loaded: Loaded, songs: Songs, tokens: int) -> dict[str, float]:
    """Mean note F1 of the first ids of songs that have so many, and what it would be beside another song."""
    long = songs.longer_than(tokens)
    real, made = long.scores(tokens), reconstructions(loaded, long, tokens)
    return {"songs": len(real), "f1": _mean_f1(real, made), "f1_of_another": _mean_f1(real, made[1:] + made[:1])}


def _second_half(score: Score) -> Score:
    bars = bar_ticks(score, score.end_tick)
    return excerpt(score, int(bars[len(bars) // 2]), score.end_tick)[0]


def _mean_f1(real: Sequence[Score], made: Sequence[Score]) -> float:
    matches = [note_match(*pair).f1 for pair in zip(real, made, strict=True)]
    return float(np.mean(matches)) if matches else float("nan")


def samples(loaded: Loaded, *, count: int, tokens: int) -> tuple[list[Score], dict[str, float]]:
    """Pieces of the prior (or of nothing, where there are no latents), and what the grammar says of them."""
    section = loaded.profile
    request = Request(count=count, seed=0, max_tokens=tokens)
    pieces = make_pieces(loaded.model, loaded.codec, request, context=section.data.seq_len, defaults=section.generation)
    grammar = Grammar.of(loaded.codec)
    return [piece.score for piece in pieces], {
        "violations": sum(len(grammar.check(piece.ids)) for piece in pieces),
        "ids": sum(len(piece.ids) for piece in pieces),
        "nats_per_token": float(np.mean([piece.nats_per_token for piece in pieces])),
    }


def measured(scores: Sequence[Score]) -> dict[str, NDArray[np.float64]]:
    """Metric → its value for each score that has one."""
    values = {name: np.array([metric(score) for score in scores]) for name, metric in METRICS.items()}
    return {name: found[np.isfinite(found)] for name, found in values.items()}


def statistics(scores: Sequence[Score], real: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Metric → mean, deviation, and how far its distribution overlaps with that of real music."""
    return {
        name: {
            "mean": float(values.mean()) if len(values) else float("nan"),
            "deviation": float(values.std()) if len(values) else float("nan"),
            "overlap": overlap(values, real[name]),
        }
        for name, values in measured(scores).items()
    }


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Area under both densities, 0 to 1 (Yang & Lerch, 2020); kernels of Scott's width; NaN where one has no spread."""
    if min(len(one), len(other)) < 2 or not (one.std() and other.std()):
        return float("nan")
    widths = [values.std(ddof=1) * len(values) ** -0.2 for values in (one, other)]
    margin = BANDWIDTHS_AROUND * max(widths)
    both = np.concatenate([one, other])
    at = np.linspace(both.min() - margin, both.max() + margin, GRID)
    densities = [
        np.exp(-0.5 * ((at[:, None] - values) / width) ** 2).mean(1) / (width * np.sqrt(2 * np.pi))
        for values, width in zip((one, other), widths, strict=True)
    ]
    return float(np.minimum(*densities).sum() * (at[1] - at[0]))


def show(folder: Path, rows: Mapping[str, Sequence[Score]]) -> None:
    """The first pieces of each kind as MIDI, and one picture for each number with all kinds below one another."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(min(SHOWN, *map(len, rows.values()))):
        stacked: list[NDArray[Any]] = []
        for name, scores in rows.items():
            save_midi(scores[number], folder / f"{number}-{name}.mid")
            stacked.append(imread(io.BytesIO(picture(scores[number], title=name)))[:, :, :3])
        width = max(image.shape[1] for image in stacked)
        wide = [
            np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=WHITE) for image in stacked
        ]
        imsave(folder / f"{number}.png", np.concatenate(wide))
