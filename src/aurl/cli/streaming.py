"""`aurl generate --stream`: notes as they are made, one JSON object a line."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aurl.cli.output import PROGRAM, SCHEMA_VERSION, Output, plain

if TYPE_CHECKING:
    from aurl.generation.load import Loaded
    from aurl.generation.pieces import Piece
    from aurl.generation.request import Request
    from aurl.generation.stream import Began, Ended, Played
    from aurl.progress import Interrupts


def print_stream(
    output: Output,
    loaded: "Loaded",
    request: "Request",
    keep: "Callable[[Piece], object]",
    *,
    facts: Mapping[str, object],
    interrupts: "Interrupts",
) -> None:
    """Print what the library tells as it is made: first what was asked, then events, last all pieces.

    Args:
        output: where it is printed; each line is there before the next one is made.
        loaded: the model.
        request: which pieces.
        keep: called with each piece that is whole; what it returns is told of the piece in the last line.
        facts: what the first line tells.
        interrupts: when it asks to stop, what sounds is ended, and the last line follows.
    """
    from aurl.generation.pieces import Piece
    from aurl.generation.stream import stream
    from aurl.latent.directions import ensure_directions

    pieces, events = [], stream(loaded, request, interrupts=interrupts, directions=ensure_directions)
    _print(output, "start", {"schema": f"{PROGRAM}.stream/{SCHEMA_VERSION}", **facts, "count": request.total})
    for event in events:
        if isinstance(event, Piece):
            pieces.append(keep(event))
        else:
            _print(output, *_told(event))
    _print(output, "summary", {"pieces": pieces})


def _told(event: "Began | Played | Ended") -> tuple[str, dict[str, Any]]:
    """The name of an event, and what is told of it."""
    from aurl.generation.stream import Began, Played

    if isinstance(event, Began):
        return "begin", {"piece": event.piece, "seed": event.seed, "programs": event.programs, **event.maps.to_json()}
    if isinstance(event, Played):
        told = event.note._asdict()
        return told.pop("kind"), {"piece": event.piece, **told}
    return "end", event._asdict()


def _print(output: Output, name: str, told: Mapping[str, Any]) -> None:
    output.raw((json.dumps({"event": name} | plain(told), allow_nan=False) + "\n").encode())
