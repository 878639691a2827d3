"""Score → MusicXML 4.0 (score-partwise), as a file of text or packed: what notation programs open.

Times are put on a grid first, see `notation_grid`. Every velocity is kept, as a share of forte. Element by element as
in https://www.w3.org/2021/06/musicxml40/.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from aurl import __version__
from aurl.export.notation_grid import Sheet, place_at, sheet
from aurl.export.note_values import Symbol, voices, written
from aurl.export.percussion import drum_name, drum_place
from aurl.export.spelling import Spelling, fifths_of, spelling
from aurl.midi.instruments import family, instrument_name
from aurl.midi.score import DEFAULT_TEMPO, Notes, Score, Track
from aurl.midi.write import channels
from aurl.storage import write_bytes

PACKED_SUFFIX = ".mxl"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise'
    '//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
CONTAINER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<container><rootfiles><rootfile full-path="score.musicxml" '
    'media-type="application/vnd.recordare.musicxml+xml"/></rootfiles></container>\n'
)
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The same score is the same bytes; zip files know no earlier date."""
MIDDLE_C = 60
HARP = 46
KEYBOARDS = ("piano", "organ")
"""Families whose instruments are written on two staves where they go to both sides of middle C."""
BASS_BELOW = 56
"""Staves whose median pitch is lower have a bass clef."""
VOICES_OF_STAFF = 4
"""The first voice of the second staff is the fifth, as is usual."""
FORTE = 90
"""Velocity of which MusicXML's `dynamics` are percentages."""
LEAST_PITCH = 12
"""MusicXML's octaves begin with this C; parts that go lower are written an octave higher than they sound."""
SHOWN_CHANGE = 0.1
"""Of tempo; smaller changes are heard and not shown."""
MICROSECONDS_PER_MINUTE = 60_000_000


def save_musicxml(score: Score, path: Path, *, title: str = "") -> None:
    """Write `score` as MusicXML, atomically; packed where the name ends in .mxl."""
    data = musicxml(score, title=title)
    write_bytes(path, packed(data) if path.suffix.lower() == PACKED_SUFFIX else data)


def packed(data: bytes) -> bytes:
    """A MusicXML file as an .mxl file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("META-INF/container.xml", CONTAINER.encode()), ("score.musicxml", data)):
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def musicxml(score: Score, *, title: str = "") -> bytes:
    """The score as a MusicXML document.

    Each track with notes is a part, keyboards on two staves where they need them, drums unpitched; a staff has at most
    two voices. Control changes and lyrics are not written.
    """
    page = sheet(score)
    root = Element("score-partwise", version="4.0")
    if title:
        _add(SubElement(root, "work"), "work-title", title)
    _add(SubElement(SubElement(root, "identification"), "encoding"), "software", f"aurl {__version__}")
    parts = _parts(score, page)
    names = SubElement(root, "part-list")
    for part in parts:
        _list_part(names, part)
    context = _Context(score, page, spelling(fifths_of(score)), _directions(score, page))
    for part in parts:
        root.append(_part_element(part, context, is_first=part is parts[0]))
    return f"{HEAD}{tostring(root, encoding='unicode')}\n".encode()


@dataclass(frozen=True)
class _Part:
    """A track to be written.

    Args:
        id: of the part.
        track: what it plays.
        notes: its notes, in divisions.
        channel: MIDI channel, from 0.
        staves: positions of the notes of each staff.
    """

    id: str
    track: Track
    notes: Notes
    channel: int
    staves: tuple[tuple[int, ...], ...]

    @property
    def octaves_up(self) -> int:
        """How much higher than it sounds it is written."""
        return int(not self.track.is_drum and len(self.notes) > 0 and int(self.notes.pitch.min()) <= LEAST_PITCH)


@dataclass(frozen=True)
class _Context:
    """What all parts share."""

    score: Score
    page: Sheet
    spelling: Spelling
    directions: dict[int, list[Element]]


def _parts(score: Score, page: Sheet) -> list[_Part]:
    rows = zip(score.tracks, page.notes, channels(score.tracks), strict=True)
    sounding = [row for row in rows if len(row[1])] or [(Track(), Notes(), (0, 0))]
    return [
        _Part(f"P{number}", track, notes, channel, _staves(track, notes))
        for number, (track, notes, (channel, _)) in enumerate(sounding, 1)
    ]


def _staves(track: Track, notes: Notes) -> tuple[tuple[int, ...], ...]:
    low = notes.pitch < MIDDLE_C
    is_keyboard = family(track.program, is_drum=track.is_drum) in KEYBOARDS or track.program == HARP
    if track.is_drum or not is_keyboard or not low.any() or low.all():
        return (tuple(range(len(notes))),)
    return tuple(np.flatnonzero(~low).tolist()), tuple(np.flatnonzero(low).tolist())


def _add(parent: Element, name: str, value: object = None) -> Element:
    """A child with text, whose characters XML cannot hold are left out."""
    child = SubElement(parent, name)
    if value is not None:
        child.text = "".join(c for c in str(value) if c.isprintable())
    return child


def _list_part(names: Element, part: _Part) -> None:
    """Name and MIDI instruments of a part; every drum is an instrument."""
    track, element = part.track, SubElement(names, "score-part", id=part.id)
    usual = instrument_name(track.program, is_drum=track.is_drum)
    _add(element, "part-name", track.name or usual)
    drums = np.unique(part.notes.pitch).tolist() if track.is_drum else []
    sounds = [(_instrument_id(part, drum), drum_name(drum)) for drum in drums] or [(_instrument_id(part), usual)]
    for name, shown in sounds:
        _add(SubElement(element, "score-instrument", id=name), "instrument-name", shown)
    for (name, _), drum in zip(sounds, drums or [None], strict=True):
        midi = SubElement(element, "midi-instrument", id=name)
        _add(midi, "midi-channel", part.channel + 1)
        _add(midi, "midi-program", track.program + 1)
        if drum is not None:
            _add(midi, "midi-unpitched", drum + 1)


def _instrument_id(part: _Part, drum: int | None = None) -> str:
    return f"{part.id}-I{1 if drum is None else drum + 1}"


def _directions(score: Score, page: Sheet) -> dict[int, list[Element]]:
    """Bar → tempo marks and markers in it."""
    found: dict[int, list[Element]] = defaultdict(list)
    heard, shown = 0.0, 0.0
    rows = zip(score.tempos.tick.tolist(), score.tempos.microseconds_per_beat.tolist(), strict=True)
    for tick, length in sorted({0: DEFAULT_TEMPO, **dict(rows)}.items()):
        tempo = round(MICROSECONDS_PER_MINUTE / max(length, 1), 2)
        place = place_at(score, tick, page.divisions)
        if tempo == heard or place >= page.bars[-1]:
            continue
        is_shown = not shown or abs(tempo / shown - 1) >= SHOWN_CHANGE
        heard, shown = tempo, tempo if is_shown else shown
        bar = page.bar_of(place)
        found[bar].append(_tempo(tempo, place - int(page.bars[bar]), is_shown=is_shown))
    for marker in score.markers:
        bar = page.bar_of(place := place_at(score, marker.tick, page.divisions))
        direction, kind = _direction()
        _add(kind, "words", marker.text)
        _add(direction, "offset", place - int(page.bars[bar]))
        found[bar].append(direction)
    return found


def _direction() -> tuple[Element, Element]:
    direction = Element("direction", placement="above")
    return direction, SubElement(direction, "direction-type")


def _tempo(tempo: float, offset: int, *, is_shown: bool) -> Element:
    direction, kind = _direction()
    mark = SubElement(kind, "metronome", {} if is_shown else {"print-object": "no"})
    _add(mark, "beat-unit", "quarter")
    _add(mark, "per-minute", f"{tempo:g}")
    _add(direction, "offset", offset).set("sound", "yes")
    SubElement(direction, "sound", tempo=f"{tempo:g}")
    return direction


def _part_element(part: _Part, context: _Context, *, is_first: bool) -> Element:
    """All bars of a part."""
    page, element = context.page, Element("part", id=part.id)
    keys = _keys_by_bar(context.score, page) if not part.track.is_drum else {}
    layers = list(_layers(part, page))
    for bar, (begin, end) in enumerate(zip(page.bars[:-1].tolist(), page.bars[1:].tolist(), strict=True)):
        measure = SubElement(element, "measure", number=str(bar + 1))
        numerator, denominator = page.meters[bar]
        if end - begin != 4 * page.divisions * numerator // denominator:
            measure.set("implicit", "yes")
        attributes = _attributes(part, page, bar, keys.get(bar))
        if len(attributes):
            measure.append(attributes)
        if is_first:
            measure.extend(context.directions.get(bar, ()))
        _write_bar(measure, part, context, [(staff, voice, bars[bar]) for staff, voice, bars in layers])
    return element


def _layers(part: _Part, page: Sheet) -> Iterable[tuple[int, int, list[list[Symbol]]]]:
    """(staff, voice, symbols of each bar)."""
    for staff, members in enumerate(part.staves):
        mine = part.notes.take(np.asarray(members, np.int64))
        for voice, chosen in enumerate(voices(mine)):
            bars = list(written(mine, chosen, page.bars, page.divisions))
            yield staff + 1, staff * VOICES_OF_STAFF + voice + 1, bars


def _keys_by_bar(score: Score, page: Sheet) -> dict[int, tuple[int, bool]]:
    rows = zip(*(getattr(score.key_signatures, name).tolist() for name in ("tick", "fifths", "minor")), strict=True)
    places = ((place_at(score, tick, page.divisions), fifths, minor) for tick, fifths, minor in rows)
    return {page.bar_of(place): (fifths, minor) for place, fifths, minor in places if place < page.bars[-1]}


def _attributes(part: _Part, page: Sheet, bar: int, key: tuple[int, bool] | None) -> Element:
    attributes = Element("attributes")
    if not bar:
        _add(attributes, "divisions", page.divisions)
    if key is not None:
        signature = SubElement(attributes, "key")
        _add(signature, "fifths", key[0])
        _add(signature, "mode", "minor" if key[1] else "major")
    if not bar or page.meters[bar] != page.meters[bar - 1]:
        time = SubElement(attributes, "time")
        _add(time, "beats", page.meters[bar][0])
        _add(time, "beat-type", page.meters[bar][1])
    if not bar:
        _write_clefs(attributes, part)
    return attributes


def _write_clefs(attributes: Element, part: _Part) -> None:
    if len(part.staves) > 1:
        _add(attributes, "staves", len(part.staves))
    for number, members in enumerate(part.staves, 1):
        pitch = part.notes.pitch[list(members)]
        clef = SubElement(attributes, "clef", number=str(number))
        is_bass = len(pitch) > 0 and np.median(pitch) < BASS_BELOW
        sign, line = ("percussion", 2) if part.track.is_drum else ("F", 4) if is_bass else ("G", 2)
        _add(clef, "sign", sign)
        _add(clef, "line", line)
    if part.octaves_up:
        transpose = SubElement(attributes, "transpose")
        _add(transpose, "chromatic", 0)
        _add(transpose, "octave-change", -part.octaves_up)


def _write_bar(
    measure: Element, part: _Part, context: _Context, layers: Sequence[tuple[int, int, list[Symbol]]]
) -> None:
    """The voices of a bar, one after the other; a further voice of a staff only where it sounds."""
    is_begun = False
    for staff, voice, symbols in layers:
        if voice % VOICES_OF_STAFF != 1 and symbols[0].value is None:
            continue
        if is_begun:
            _add(SubElement(measure, "backup"), "duration", symbols[-1].end - symbols[0].begin)
        is_begun = True
        members = part.staves[staff - 1]
        for symbol in symbols:
            for element, has_cross in _symbol_elements(symbol, part, context, members):
                _finish(element, symbol, voice, staff if len(part.staves) > 1 else None, has_cross=has_cross)
                measure.append(element)


def _symbol_elements(
    symbol: Symbol, part: _Part, context: _Context, members: Sequence[int]
) -> list[tuple[Element, bool]]:
    """The notes of a symbol as far as their durations and ties, or its rest; and whether a head is a cross."""
    if not symbol.notes:
        element = Element("note")
        SubElement(element, "rest", {} if symbol.value else {"measure": "yes"})
        _add(element, "duration", symbol.end - symbol.begin)
        return [(element, False)]
    made = []
    for place, index in enumerate(symbol.notes):
        row = members[index]
        element = Element("note", dynamics=f"{100 * int(part.notes.velocity[row]) / FORTE:.2f}")
        if place:
            SubElement(element, "chord")
        pitch = int(part.notes.pitch[row])
        _write_pitch(element, part, context, pitch)
        _add(element, "duration", symbol.end - symbol.begin)
        for kind in _ties(symbol, part.notes, row):
            SubElement(element, "tie", type=kind)
        if part.track.is_drum:
            SubElement(element, "instrument", id=_instrument_id(part, pitch))
        made.append((element, part.track.is_drum and drum_place(pitch).has_cross))
    return made


def _ties(symbol: Symbol, notes: Notes, row: int) -> list[str]:
    """That the note has begun before the symbol ("stop"), and goes on after it ("start")."""
    has_begun, goes_on = notes.onset[row] < symbol.begin, notes.onset[row] + notes.duration[row] > symbol.end
    return ["stop"] * bool(has_begun) + ["start"] * bool(goes_on)


def _write_pitch(element: Element, part: _Part, context: _Context, pitch: int) -> None:
    if part.track.is_drum:
        place, unpitched = drum_place(pitch), SubElement(element, "unpitched")
        _add(unpitched, "display-step", place.step)
        _add(unpitched, "display-octave", place.octave)
        return
    step, alter, octave = context.spelling(pitch + 12 * part.octaves_up)
    element = SubElement(element, "pitch")
    _add(element, "step", step)
    if alter:
        _add(element, "alter", alter)
    _add(element, "octave", octave)


def _finish(element: Element, symbol: Symbol, voice: int, staff: int | None, *, has_cross: bool) -> None:
    """Voice, note value, head, staff, and the signs for ties and triplets."""
    _add(element, "voice", voice)
    if symbol.value is not None:
        _add(element, "type", symbol.value.type)
        if symbol.value.is_dotted:
            SubElement(element, "dot")
        if symbol.value.is_triplet:
            change = SubElement(element, "time-modification")
            _add(change, "actual-notes", 3)
            _add(change, "normal-notes", 2)
    if has_cross:
        _add(element, "notehead", "x")
    if staff is not None:
        _add(element, "staff", staff)
    ties = [tie.get("type", "") for tie in element.findall("tie")]
    is_first = element.find("chord") is None
    brackets = ["start"] * symbol.tuplet_begins + ["stop"] * symbol.tuplet_ends if is_first else []
    if ties or brackets:
        notations = SubElement(element, "notations")
        for kind in ties:
            SubElement(notations, "tied", type=kind)
        for kind in brackets:
            SubElement(notations, "tuplet", type=kind)
