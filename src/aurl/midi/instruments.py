"""Names of the General MIDI Level 1 instruments and of their families."""

from typing import Literal, get_args

from aurl.errors import UsageError, did_you_mean

DRUMS = "Drums"
_NAMES = """
    Acoustic Grand Piano, Bright Acoustic Piano, Electric Grand Piano, Honky-tonk Piano, Electric Piano 1,
    Electric Piano 2, Harpsichord, Clavinet, Celesta, Glockenspiel, Music Box, Vibraphone, Marimba, Xylophone,
    Tubular Bells, Dulcimer, Drawbar Organ, Percussive Organ, Rock Organ, Church Organ, Reed Organ, Accordion,
    Harmonica, Tango Accordion, Nylon Guitar, Steel Guitar, Jazz Guitar, Clean Guitar, Muted Guitar,
    Overdriven Guitar, Distortion Guitar, Guitar Harmonics, Acoustic Bass, Fingered Bass, Picked Bass, Fretless Bass,
    Slap Bass 1, Slap Bass 2, Synth Bass 1, Synth Bass 2, Violin, Viola, Cello, Contrabass, Tremolo Strings,
    Pizzicato Strings, Orchestral Harp, Timpani, String Ensemble 1, String Ensemble 2, Synth Strings 1,
    Synth Strings 2, Choir Aahs, Voice Oohs, Synth Voice, Orchestra Hit, Trumpet, Trombone, Tuba, Muted Trumpet,
    French Horn, Brass Section, Synth Brass 1, Synth Brass 2, Soprano Sax, Alto Sax, Tenor Sax, Baritone Sax, Oboe,
    English Horn, Bassoon, Clarinet, Piccolo, Flute, Recorder, Pan Flute, Blown Bottle, Shakuhachi, Whistle, Ocarina,
    Square Lead, Sawtooth Lead, Calliope Lead, Chiff Lead, Charang Lead, Voice Lead, Fifths Lead, Bass and Lead,
    New Age Pad, Warm Pad, Polysynth Pad, Choir Pad, Bowed Pad, Metallic Pad, Halo Pad, Sweep Pad, Rain Effect,
    Soundtrack Effect, Crystal Effect, Atmosphere Effect, Brightness Effect, Goblins Effect, Echoes Effect,
    Sci-fi Effect, Sitar, Banjo, Shamisen, Koto, Kalimba, Bagpipe, Fiddle, Shanai, Tinkle Bell, Agogo, Steel Drums,
    Woodblock, Taiko Drum, Melodic Tom, Synth Drum, Reverse Cymbal, Guitar Fret Noise, Breath Noise, Seashore,
    Bird Tweet, Telephone Ring, Helicopter, Applause, Gunshot
    """
PROGRAM_NAMES = tuple(name.strip() for name in _NAMES.split(","))
Family = Literal[
    "piano", "chromatic_percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "synth_lead", "synth_pad", "synth_effects", "ethnic", "percussive", "sound_effects", "drums",
]  # fmt: skip
FAMILIES: tuple[Family, ...] = get_args(Family)
"""The families of General MIDI, each of eight programs in a row, and the kits, which have none."""
FAMILY_SIZE = 8


def parse_instrument(text: str) -> int:
    """The General MIDI program that a text names, 128 for the drum kit.

    Args:
        text: a name ("acoustic bass"), a family, of which the first is taken ("strings"), "drums", or a number from 0.

    Raises:
        UsageError: it names none.
    """
    name = text.strip().lower()
    known = {other.lower(): program for program, other in enumerate(PROGRAM_NAMES)}
    known |= {other.replace("_", " "): FAMILY_SIZE * place for place, other in enumerate(FAMILIES)}
    known |= {str(program): program for program in range(len(PROGRAM_NAMES))}
    if name not in known:
        alike = [other for other in known if name and name in other]
        meant = did_you_mean(name, known) or (f"did you mean {', '.join(alike)}?" if alike else "")
        raise UsageError(
            f"there is no instrument {text!r}", hint=meant or "give a General MIDI name, or a number from 0"
        )
    return known[name]


def instrument_name(program: int, *, is_drum: bool = False) -> str:
    """What to call a track that plays `program` (0–127)."""
    return DRUMS if is_drum else PROGRAM_NAMES[program]


def family(program: int, *, is_drum: bool = False) -> Family:
    """The family that a track of `program` (0–127) belongs to."""
    return "drums" if is_drum else FAMILIES[program // FAMILY_SIZE]
