"""How a piece was made, as JSON: every option with where its value came from, and the command that makes it again."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel

from aurl import __version__
from aurl.generation.choices import settle
from aurl.generation.load import AVERAGES, BEST, MODEL_FILE, choose_device, find_checkpoint
from aurl.generation.pieces import Piece
from aurl.generation.request import Request
from aurl.midi.score import Score
from aurl.midi.write import write_midi
from aurl.profile import Generation
from aurl.storage import sha256_file, write_json

SCHEMA = "aurl.choices/1"
"""A change that breaks its readers raises the number."""
Origin = Literal["option", "profile", "default"]
OF_THE_PIECE = ("count", "seed")
"""Of a request, told with the piece instead."""


@dataclass(frozen=True)
class Choice:
    """The value of an option in effect, as JSON knows it, and where it is from: the user, the run's profile, aurl."""

    value: Any
    origin: Origin


@dataclass(frozen=True)
class Choices:
    """What all pieces of a request have in common.

    Args:
        run: folder of the run.
        checkpoint: name of the checkpoint.
        weights: file of the checkpoint that the model's weights are in.
        sha256: of that file.
        device: where the model ran.
        options: name of an option → its value in effect.
        command: words of the command that makes the pieces again, but for what to name them and their seed.
    """

    run: Path
    checkpoint: str
    weights: str
    sha256: str
    device: str
    options: Mapping[str, Choice]
    command: tuple[str, ...]


def gather_choices(
    run: Path,
    request: Request,
    *,
    defaults: Generation,
    checkpoint: str = BEST,
    device: str | None = None,
    threads: int | None = None,
    command: Sequence[str] = (),
) -> Choices:
    """What was chosen for a request, by whom.

    Args:
        run: folder of a trained run.
        request: what was asked.
        defaults: what the run's profile says where the request says nothing.
        checkpoint: "best", "latest" or a checkpoint's name.
        device: what was asked for, if anything.
        threads: what was asked for, if anything.
        command: the options that were given, as words; without those of the arguments above, seed, count and outputs.

    Raises:
        NotFoundError: no such run or checkpoint.
    """
    folder = find_checkpoint(run, checkpoint)
    weights = next((name for name in AVERAGES if (folder / name).is_file()), MODEL_FILE)
    where = choose_device(device or "auto")
    words = ["aurl", "generate", "--run", str(run.resolve()), "--checkpoint", folder.name, "--device", where]
    words += ["--threads", str(threads)] if threads is not None else []
    return Choices(
        run=run.resolve(),
        checkpoint=folder.name,
        weights=weights,
        sha256=sha256_file(folder / weights),
        device=where,
        options=resolved(request, defaults),
        command=(*words, *command),
    )


def resolved(request: Request, defaults: Generation) -> dict[str, Choice]:
    """Every option of a request, and what else the profile says of new pieces, with the values in effect."""
    settled = settle(request, defaults)
    options = {field.name: _choice(field, request, settled) for field in fields(request)}
    options |= {name: Choice(plain(value), "profile") for name, value in settled if name not in options}
    return {name: choice for name, choice in options.items() if name not in OF_THE_PIECE}


def _choice(field: "Field[Any]", request: Request, settled: Generation) -> Choice:
    value = getattr(request, field.name)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    origin: Origin = "profile" if hasattr(settled, field.name) else "default"
    return Choice(plain(getattr(settled, field.name, value)), origin if value == default else "option")


def plain(value: Any) -> Any:
    """A value as JSON knows it; a song is told by its bytes, for its file may change."""
    if isinstance(value, Path):
        return {"path": str(value), "sha256": sha256_file(value) if value.is_file() else None}
    if isinstance(value, Score):
        return {"path": None, "sha256": _digest(value)}
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return plain(value.model_dump() if isinstance(value, BaseModel) else asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return value


def command_line(choices: Choices, piece: Piece) -> str:
    """The command that makes the same bytes again, for a shell."""
    return shlex.join([*choices.command, "--seed", str(piece.seed), "--output", f"aurl-{piece.seed}.mid"])


def described(choices: Choices, piece: Piece) -> dict[str, Any]:
    """Everything that was chosen for a piece, and what came of it."""
    return {
        "schema": SCHEMA,
        "aurl": __version__,
        "torch": torch.__version__,
        "command": command_line(choices, piece),
        "run": {"folder": str(choices.run), "checkpoint": choices.checkpoint},
        "weights": {"file": choices.weights, "sha256": choices.sha256},
        "device": choices.device,
        "seed": piece.seed,
        "options": {
            name: {"value": choice.value, "from": choice.origin} for name, choice in sorted(choices.options.items())
        },
        "piece": {
            "midi_sha256": _digest(piece.score),
            "ended": piece.ended,
            "prompt_tokens": piece.prompt_tokens,
            "sampled": piece.sampled,
            "nats": piece.nats,
            "latents": piece.latents,
            "broken": list(piece.broken),
            "ids": piece.ids.tolist(),
        },
    }


def save_choices(path: Path, choices: Choices, piece: Piece) -> None:
    """Write what was chosen for a piece as JSON, atomically."""
    write_json(path, described(choices, piece))


def _digest(score: Score) -> str:
    return hashlib.sha256(write_midi(score)).hexdigest()
