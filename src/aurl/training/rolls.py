"""Small piano rolls of sample pieces, as SVG that a page can hold."""

from pathlib import Path

from aurl.errors import AurlError
from aurl.midi.read import load_score
from aurl.midi.score import Score
from aurl.page import text

WIDTH, HEIGHT = 300, 72
MAX_NOTES = 600
"""More than so small a picture can show; what follows is left out."""
MIN_PITCHES = 24
"""Height of a picture at least, in semitones: two notes would be bars."""
LEAST_WIDTH = 1.5
"""Of a note, in the units of the picture."""


def roll(path: Path) -> str:
    """The piano roll of a MIDI file; empty where it cannot be read or has no notes."""
    try:
        score = load_score(path).score
    except (AurlError, OSError):
        return ""
    notes = _notes(score)
    if not notes:
        return ""
    shapes = "".join(_path(number, track, notes) for number, track in enumerate(notes))
    return f'<svg class="roll" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(path.name)}">{shapes}</svg>'


Note = tuple[int, int, int]
"""Onset and length in ticks, and pitch."""


def _notes(score: Score) -> list[list[Note]]:
    left, tracks = MAX_NOTES, list[list[Note]]()
    for track in score.tracks:
        columns = (track.notes.onset, track.notes.duration, track.notes.pitch)
        found = list(zip(*(column[:left].tolist() for column in columns), strict=True))
        left -= len(found)
        if found:
            tracks.append(found)
    return tracks


def _path(number: int, track: list[Note], tracks: list[list[Note]]) -> str:
    """All notes of one track as strokes of one line."""
    end = max(onset + length for one in tracks for onset, length, _ in one)
    pitches = [pitch for one in tracks for *_, pitch in one]
    low, high = min(pitches), max(pitches)
    missing = max(0, MIN_PITCHES - (high - low + 1))
    low -= missing // 2
    row, across = HEIGHT / (high - low + 1 + missing - missing // 2), WIDTH / max(1, end)
    strokes = "".join(
        f"M{onset * across:.1f} {HEIGHT - (pitch - low + 0.5) * row:.1f}h{max(LEAST_WIDTH, length * across):.1f}"
        for onset, length, pitch in track
    )
    return f'<path class="c{number % 8}" stroke-width="{0.8 * row:.2f}" d="{strokes}"/>'
