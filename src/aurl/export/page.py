"""A page that plays pieces: one file, which needs no network and no plug-in."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aurl.export.roll import Lane, lanes_of
from aurl.midi.clock import seconds_at
from aurl.midi.instruments import family
from aurl.midi.score import Score
from aurl.midi.write import write_midi
from aurl.page.document import Section, figure, page, text
from aurl.storage import write_text

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
DECIMALS = 3
"""Of seconds in the page: milliseconds."""
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What could end a script, as JSON writes it otherwise."""


@dataclass(frozen=True)
class Shown:
    """A piece on a page.

    Args:
        name: heading, and name of its MIDI file.
        score: what is played.
        facts: what is told of it.
    """

    name: str
    score: Score
    facts: Mapping[str, object] = field(default_factory=dict)


def save_page(pieces: Sequence[Shown], path: Path, *, title: str = "New pieces") -> None:
    """Write the page of the pieces, atomically."""
    write_text(path, player_page(pieces, title=title))


def player_page(pieces: Sequence[Shown], *, title: str = "New pieces") -> str:
    """HTML with a player, a piano roll, facts and the MIDI file of each piece; the space bar plays and pauses."""
    sections = [_section(number, piece) for number, piece in enumerate(pieces)]
    sections.append(Section("About", _payload([_music(piece.score) for piece in pieces]), _ABOUT))
    return page(title, sections, style=STYLE, script=SCRIPT, subtitle=f"{len(pieces)} pieces; space plays and pauses")


_ABOUT = "The sound is a sketch made by this page. The MIDI files are inside of it, too."


def _section(number: int, piece: Shown) -> Section:
    """Controls, roll and facts; the script fills in the rest."""
    seconds = float(seconds_at(piece.score, [piece.score.end_tick])[0])
    facts = {"seconds": round(seconds, 1), "notes": piece.score.note_count} | dict(piece.facts)
    rows = "".join(f"<dt>{text(name)}</dt><dd>{figure(value)}</dd>" for name, value in facts.items())
    link = f"data:audio/midi;base64,{base64.b64encode(write_midi(piece.score)).decode()}"
    body = (
        f'<div class="player" data-piece="{number}"><div class="controls"><button type="button">Play</button>'
        f'<input type="range" min="0" max="{seconds:.{DECIMALS}f}" step="0.1" value="0" '
        f'aria-label="position in {text(piece.name)}"/><output>0:00</output>'
        f'<a download="{text(piece.name)}.mid" href="{link}">MIDI</a></div>'
        f'<div class="roll"><canvas role="img" aria-label="piano roll of {text(piece.name)}"></canvas><i></i></div>'
        f"<dl>{rows}</dl></div>"
    )
    return Section(piece.name, body)


def _music(score: Score) -> dict[str, Any]:
    """What the script plays and draws."""
    return {
        "seconds": round(float(seconds_at(score, [score.end_tick])[0]), DECIMALS),
        "lanes": [_lane(lane) for lane in lanes_of(score)],
    }


def _lane(lane: Lane) -> dict[str, Any]:
    track = lane.track
    return {
        "family": family(track.program, is_drum=track.is_drum),
        "colour": lane.colour,
        "label": lane.label,
        "start": np.round(lane.start, DECIMALS).tolist(),
        "length": np.round(lane.end - lane.start, DECIMALS).tolist(),
        "pitch": track.notes.pitch.tolist(),
        "velocity": track.notes.velocity.tolist(),
    }


def _payload(music: list[dict[str, Any]]) -> str:
    data = json.dumps(music, separators=(",", ":"), allow_nan=False)
    for character, escaped in UNSAFE.items():
        data = data.replace(character, escaped)
    return f'<script type="application/json" id="music">{data}</script>'
