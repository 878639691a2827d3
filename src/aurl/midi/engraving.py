"""A music21 score → the bars that it is written in.

music21's own translation to MIDI is not used: it copies the piece several times (3.5 s for a quartet that is parsed in
0.2 s), gives up on repeats that do not add up, has grace notes last no time, does not transpose, and counts bars from a
pick-up. This module is imported late: music21 takes a while to load.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from music21 import dynamics, expressions, harmony, instrument, key, meter, note, repeat, spanner, stream, tempo
from music21.abcFormat import translate
from music21.bar import Repeat
from music21.converter.subConverters import ConverterABC, ConverterHumdrum
from music21.musicxml.xmlToM21 import MusicXMLImporter

from aurl.midi.performance import MARKER, TICKS_PER_BEAT, Change, Instrument, Word, WrittenBar, WrittenNote
from aurl.midi.repeats import Signs
from aurl.midi.score import DRUM_CHANNEL

_DEFAULT_DRUM = 38
"""Acoustic snare: what an unpitched note strikes of which the file tells nothing."""
_SLOWEST_BPM = 0.03
"""Far slower than what `repair.drop_absurd_tempi` lets through, and still a number of microseconds."""
_MICROSECONDS_PER_MINUTE = 60_000_000
_USUAL_PASSES = 2
_SPLIT_WORD = ("begin", "middle")
_FLAT = re.compile(r"(?<=[A-G])-")


class _Placed(NamedTuple):
    """Something in a bar, ticks after its bar line."""

    tick: int
    element: Any


@dataclass(slots=True)
class Piece:
    """The bars of all parts together, and who plays in them."""

    bars: list[WrittenBar]
    instruments: list[Instrument] = field(default_factory=list)


@dataclass(slots=True)
class _Staff:
    """One of music21's parts: its elements bar by bar, and who plays them.

    Args:
        name: as printed before the staff.
        group: equal for the staves of one player.
        bars: what is in each bar.
        lengths: ticks of each bar.
        player: the instrument that was named last.
        marks: (bar, tick) of each dynamic, in order.
        levels: the dynamics themselves.
        parts: (program, is drum) → place among the instruments.
    """

    name: str
    group: str
    bars: list[list[_Placed]]
    lengths: list[int]
    player: Any = None
    marks: list[tuple[int, int]] = field(default_factory=list)
    levels: list[Any] = field(default_factory=list)
    parts: dict[tuple[int, bool], int] = field(default_factory=dict)


def parse(source: Any, *, is_abc: bool) -> Any:
    """The music21 score in an ElementTree root (MusicXML) or a text (ABC, kern); no file, cache or network is used."""
    if not isinstance(source, str):
        importer = MusicXMLImporter()
        importer.xmlRootToScore(source, importer.stream)
        return importer.stream
    reader = ConverterABC() if is_abc else ConverterHumdrum()
    with _bars_as_written():
        reader.parseData(source)
    return reader.stream.scores.first() if isinstance(reader.stream, stream.Opus) else reader.stream


@contextmanager
def _bars_as_written() -> Iterator[None]:
    """music21 would cut bars of ABC that are too long and weigh the beats of the rest: minutes for a thousand notes."""

    def refuse(*_: Any, **__: Any) -> None:
        raise translate.ABCTranslateException  # "this part cannot be cut"

    usual, translate.reBar = translate.reBar, refuse
    try:
        yield
    finally:
        translate.reBar = usual


def written(score: Any) -> Piece:
    """The bars of a music21 score, at sounding pitch; parts with fewer bars than others are silent in the rest."""
    score.toSoundingPitch(inPlace=True)
    parts = list(score.parts) or [score]
    staves = [_staff(part) for part in parts]
    piece = Piece([WrittenBar(length) for length in _lengths(staves)])
    _share_levels(staves)
    for staff in staves:
        for at, placed in enumerate(staff.bars):
            for one in placed:
                _write(piece, staff, at, one)
    measures = [list(part.getElementsByClass(stream.Measure)) for part in parts]
    places = {id(measure): at for found in measures for at, measure in enumerate(found)}
    for number, bracket in enumerate(score[spanner.RepeatBracket]):
        _write_ending(piece.bars, bracket, number, places)
    return piece


def _ticks(quarters: Any) -> int:
    ticks: int = round(quarters * TICKS_PER_BEAT)
    return ticks


def _lengths(staves: Sequence[_Staff]) -> list[int]:
    """Ticks of each bar, in the longest part that plays in it; rests of whole bars are often too long or short."""
    found = []
    for at in range(max(len(staff.bars) for staff in staves)):
        here = [staff for staff in staves if at < len(staff.bars)]
        playing = [staff for staff in here if any(isinstance(one.element, note.NotRest) for one in staff.bars[at])]
        found.append(max(staff.lengths[at] for staff in playing or here))
    return found


def _bar_lines(part: Any) -> list[int]:
    """Tick at which each bar of the part begins."""
    found = [_ticks(part.elementOffset(measure)) for measure in part.getElementsByClass(stream.Measure)]
    return found or [0]


def _staff(part: Any) -> _Staff:
    """The elements of a part in each bar: by measure, and by time what stands in none."""
    starts = _bar_lines(part)
    ends = [*starts[1:], _ticks(part.highestTime)]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    bars: list[list[_Placed]] = [[] for _ in starts]
    measures = iter(bars)
    for element in part.elements:
        if isinstance(element, stream.Measure):
            next(measures).extend(_flat(element, 0))
        elif not isinstance(element, spanner.Spanner):
            for tick, one in _flat(element, _ticks(part.elementOffset(element))):
                at = max(bisect_right(starts, tick) - 1, 0)
                bars[at].append(_Placed(tick - starts[at], one))
    for placed in bars:
        placed.sort(key=lambda one: (one.tick, isinstance(one.element, note.GeneralNote)))
    player, _, number = str(part.id).rpartition("-Staff")
    return _Staff(
        str(getattr(part, "partName", None) or ""), player if number.isdigit() else str(id(part)), bars, lengths
    )


def _flat(element: Any, tick: int) -> Iterator[_Placed]:
    """The element, or what is in it if it is a measure or a voice."""
    if not element.isStream:
        yield _Placed(tick, element)
        return
    for inner in element.elements:
        yield from _flat(inner, tick + _ticks(element.elementOffset(inner)))


def _share_levels(staves: Sequence[_Staff]) -> None:
    """Staves of one player have their dynamics in common: a piano's stand between them, in the upper."""
    groups: dict[str, dict[tuple[int, int], Any]] = {}
    for staff in staves:
        levels = groups.setdefault(staff.group, {})
        for at, placed in enumerate(staff.bars):
            levels.update({(at, tick): one for tick, one in placed if isinstance(one, dynamics.Dynamic)})
    for staff in staves:
        staff.marks = sorted(groups[staff.group])
        staff.levels = [groups[staff.group][mark] for mark in staff.marks]


def _write(piece: Piece, staff: _Staff, at: int, placed: _Placed) -> None:
    """Put one element where it belongs; what does not sound and changes nothing is passed over."""
    tick, element = placed
    bars = piece.bars
    if isinstance(element, harmony.Harmony):
        bars[at].words.append(Word(tick, MARKER, _figure(element)))
    elif isinstance(element, note.NotRest):
        _write_notes(piece, staff, at, placed)
    elif isinstance(element, instrument.Instrument):
        staff.player = element
    elif isinstance(element, expressions.RehearsalMark):
        bars[at].words.append(Word(tick, MARKER, str(element.content)))
    elif isinstance(element, repeat.RepeatMark):
        _write_sign(bars[at].signs, element)
    elif change := _change(placed):
        bars[at].changes.append(change)


def _figure(symbol: Any) -> str:
    """A chord symbol as players write it: music21 writes flats as minus signs."""
    return _FLAT.sub("b", str(symbol.figure))


def _change(placed: _Placed) -> Change | None:
    tick, element = placed
    if isinstance(element, tempo.MetronomeMark):
        beats_per_minute = element.getQuarterBPM()
        if beats_per_minute is None:
            return None
        length = _MICROSECONDS_PER_MINUTE / max(beats_per_minute, _SLOWEST_BPM)
        return Change(tick, "tempo", (round(length),))
    if isinstance(element, meter.TimeSignature):
        return Change(tick, "meter", (element.numerator, element.denominator))
    if isinstance(element, key.KeySignature):
        return Change(tick, "key", (element.sharps, getattr(element, "mode", None) == "minor"))
    return None


def _write_notes(piece: Piece, staff: _Staff, at: int, placed: _Placed) -> None:
    tick, element = placed
    bar = piece.bars[at]
    grace = len(bar.notes) + 1 if element.duration.isGrace else 0
    heads = getattr(element, "notes", (element,))
    mark = bisect_right(staff.marks, (at, tick))
    velocity = _velocity(element, staff.levels[mark - 1] if mark else False)
    parts = [_part(piece, staff, head) for head in heads]
    for head, part in zip(heads, parts, strict=True):
        tie = head.tie.type if head.tie else ""
        pitch = _pitch(head, staff.player)
        bar.notes.append(WrittenNote(tick, _ticks(element.quarterLength), pitch, velocity, part, tie, grace))
    for lyric in element.lyrics[:1] if parts else ():
        text = (lyric.text or "") + ("-" if lyric.syllabic in _SPLIT_WORD else "")
        bar.words.append(Word(tick, parts[0], text))


def _velocity(element: Any, level: Any) -> int:
    """From the dynamic in force (False: none) and accents, as music21 has it."""
    loudness = element.volume.getRealized(useDynamicContext=level, useArticulations=element.articulations)
    return int(min(max(round(loudness * 127), 1), 127))


def _pitch(head: Any, player: Any) -> int:
    """0–127, or beyond if the note is out of MIDI's range; of a drum its key in General MIDI."""
    if isinstance(head, note.Note):
        return round(float(head.pitch.ps))  # `pitch.midi` folds what is beyond into the range
    struck = getattr(head.storedInstrument or player, "percMapPitch", None)
    return _DEFAULT_DRUM if struck is None else int(struck)


def _part(piece: Piece, staff: _Staff, head: Any) -> int:
    """Place of the instrument that plays the note; it is entered when it plays for the first time."""
    player = head.storedInstrument or staff.player
    is_drum = (
        isinstance(head, note.Unpitched)
        or isinstance(player, instrument.UnpitchedPercussion)
        or getattr(player, "midiChannel", None) == DRUM_CHANNEL
    )
    program = 0 if is_drum else getattr(player, "midiProgram", None) or 0
    place = staff.parts.get((program, is_drum))
    if place is None:
        place = staff.parts[program, is_drum] = len(piece.instruments)
        piece.instruments.append(Instrument(staff.name, program, is_drum))
    return place


def _write_sign(signs: Signs, element: Any) -> None:
    if isinstance(element, Repeat):
        opens = element.direction == "start"
        signs.opens |= opens
        signs.closes = signs.closes if opens else element.times or _USUAL_PASSES
    elif isinstance(element, repeat.Segno):
        signs.segno = True
    elif isinstance(element, repeat.Coda):
        signs.coda = True
    elif isinstance(element, repeat.Fine):
        signs.fine = True
    elif isinstance(element, (repeat.DaCapo, repeat.DaCapoAlFine, repeat.DaCapoAlCoda)):
        signs.back = "capo"
    else:
        signs.back = "segno"


def _write_ending(bars: Sequence[WrittenBar], bracket: Any, number: int, places: dict[int, int]) -> None:
    """Mark the bars from the first to the last under an ending bracket."""
    under = [places[id(one)] for one in bracket.getSpannedElements() if id(one) in places]
    for at in range(min(under), max(under) + 1) if under else ():
        bars[at].signs.endings = frozenset(bracket.numberRange)
        bars[at].signs.bracket = number
