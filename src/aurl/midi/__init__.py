"""MIDI files in and out, and the score between them."""
