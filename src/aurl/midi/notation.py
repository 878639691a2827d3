"""Written music (MusicXML, ABC, Humdrum) → Score, through music21."""

NOTATION_SUFFIXES = (".musicxml", ".xml", ".mxl", ".abc", ".krn", ".kern")
"""Names of files that are read as notation; anything else is taken for MIDI."""
