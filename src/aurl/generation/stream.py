"""New music as it is made: notes with their times, for whoever plays while the model still thinks."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from aurl.errors import UsageError
from aurl.generation.context import header_length
from aurl.generation.directions import load_directions
from aurl.generation.engine import Batch, Ending
from aurl.generation.listener import Heard, Listener
from aurl.generation.load import Loaded
from aurl.generation.making import FindDirections, Making
from aurl.generation.pieces import Piece, finish
from aurl.generation.request import Request
from aurl.progress import Interrupts
from aurl.tokens.maps import Maps
from aurl.tokens.vocabulary import EOS


class Began(NamedTuple):
    """The header of a piece is known, and its first note is still to come.

    Args:
        piece: its number in the request, from 0.
        seed: makes it again.
        maps: tempi, meters and keys, in ticks.
        programs: part → General MIDI program from 0, 128 for the drum kit.
    """

    piece: int
    seed: int
    maps: Maps
    programs: dict[int, int]


class Played(NamedTuple):
    """A note of a piece begins or ends.

    Args:
        piece: its number in the request, from 0.
        note: which one, when.
    """

    piece: int
    note: Heard


class Ended(NamedTuple):
    """A piece has ended; nothing of it sounds any more.

    Args:
        piece: its number in the request, from 0.
        seconds: where its last note ends.
        ended: how, see `Piece`.
    """

    piece: int
    seconds: float
    ended: Ending


StreamEvent = Began | Played | Ended | Piece
"""A `Piece` follows for each one when all that are made together have ended."""


def stream(
    loaded: Loaded,
    request: Request,
    *,
    interrupts: Interrupts | None = None,
    directions: FindDirections = load_directions,
) -> Iterator[StreamEvent]:
    """Events of new pieces in the order in which they are made; pieces that are made together take turns.

    Of a prompt's notes only the ends are told, where the model ends what still sounds.

    Args:
        loaded: see `load_run`.
        request: which pieces.
        interrupts: when it asks to stop, what sounds is ended and pieces not begun are left out.
        directions: of attributes, called if the request is about them.

    Raises:
        UsageError: as in `Making`, or what is asked has no note ready before the end.
        Rejected: a song cannot be used.
    """
    late = {"--mend": request.mend, "--beam": request.beam, "--form": request.form}
    for option, is_asked in late.items():
        if is_asked:
            raise UsageError(f"with {option} no note is sure before the end", hint=f"leave out --stream, or {option}")
    making = Making.of(loaded, request, directions=directions)
    return _events(making, interrupts or Interrupts())


def _events(making: Making, interrupts: Interrupts) -> Iterator[StreamEvent]:
    for numbers, batch in chain.from_iterable(making.blocks()):
        if interrupts.stop is not None:
            break
        if isinstance(batch, Batch):
            yield from _listen(making, numbers, batch, interrupts)
        yield from (finish(making, made, number) for number, made in zip(numbers, batch.pieces, strict=True))


def _listen(making: Making, numbers: Sequence[int], batch: Batch, interrupts: Interrupts) -> Iterator[StreamEvent]:
    listeners = [_listener(making) for _ in batch.pieces]
    told = set[int]()
    for number, listener in zip(numbers, listeners, strict=True):
        yield from _began(making, number, listener, told)
    for row, chosen in batch:
        if interrupts.stop is not None:
            batch.stop()
        number, listener = numbers[row], listeners[row]
        note = listener.take(chosen)
        yield from _began(making, number, listener, told)
        if note is not None:
            yield Played(number, note)
        if chosen == EOS:
            # The engine notes how a piece ended after its EOS, unless it wrote that one itself.
            yield Ended(number, listener.seconds, batch.pieces[row].ended or "eos")


def _listener(making: Making) -> Listener:
    """Who has heard what is given, and hears what is new."""
    plan, codec = making.plan, making.codec
    if plan.gap is not None:
        given = plan.begin[: header_length(plan.begin)]
        listener = Listener(codec, Maps.of(plan.gap.song), step=plan.gap.step)
    elif plan.prompt is not None:
        given, listener = plan.begin, Listener(codec, plan.prompt.maps)
    else:
        given, listener = plan.begin, Listener(codec, retime=making.request.wishes.at_tempo)
    for chosen in given:
        listener.take(chosen)
    return listener


def _began(making: Making, number: int, listener: Listener, told: set[int]) -> Iterator[Began]:
    """The event, once for each piece."""
    if listener.in_body and number not in told:
        told.add(number)
        yield Began(number, making.request.seed_of(number), listener.maps, listener.programs)
