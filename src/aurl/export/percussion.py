"""How drums are written: the names of General MIDI's percussion map, and where on a staff they stand."""

from typing import NamedTuple

FIRST_PITCH = 35
_NAMES = """
    Acoustic Bass Drum, Bass Drum 1, Side Stick, Acoustic Snare, Hand Clap, Electric Snare, Low Floor Tom,
    Closed Hi-Hat, High Floor Tom, Pedal Hi-Hat, Low Tom, Open Hi-Hat, Low-Mid Tom, Hi-Mid Tom, Crash Cymbal 1,
    High Tom, Ride Cymbal 1, Chinese Cymbal, Ride Bell, Tambourine, Splash Cymbal, Cowbell, Crash Cymbal 2, Vibraslap,
    Ride Cymbal 2, High Bongo, Low Bongo, Mute High Conga, Open High Conga, Low Conga, High Timbale, Low Timbale,
    High Agogo, Low Agogo, Cabasa, Maracas, Short Whistle, Long Whistle, Short Guiro, Long Guiro, Claves,
    High Woodblock, Low Woodblock, Mute Cuica, Open Cuica, Mute Triangle, Open Triangle
    """
DRUM_NAMES = tuple(name.strip() for name in _NAMES.split(","))


class Place(NamedTuple):
    """Where a drum stands on a staff with a percussion clef."""

    step: str
    octave: int
    has_cross: bool = False


_PLACES = {
    35: Place("E", 4), 36: Place("F", 4), 37: Place("C", 5, True), 38: Place("C", 5), 40: Place("C", 5),
    41: Place("G", 4), 42: Place("G", 5, True), 43: Place("A", 4), 44: Place("D", 4, True), 45: Place("B", 4),
    46: Place("G", 5, True), 47: Place("B", 4), 48: Place("D", 5), 49: Place("A", 5, True), 50: Place("E", 5),
    51: Place("F", 5, True), 52: Place("B", 5, True), 53: Place("F", 5, True), 55: Place("B", 5, True),
    57: Place("A", 5, True), 59: Place("F", 5, True),
}  # fmt: skip
"""As drum sets are written (Weinberg, "Guidelines for Drumset Notation", Percussive Notes 32, 1994)."""
_OTHER = Place("E", 5, True)


def drum_name(pitch: int) -> str:
    """What General MIDI calls the drum on a key, 0–127."""
    index = pitch - FIRST_PITCH
    return DRUM_NAMES[index] if 0 <= index < len(DRUM_NAMES) else f"Drum {pitch}"


def drum_place(pitch: int) -> Place:
    """Where it is written."""
    return _PLACES.get(pitch, _OTHER)
