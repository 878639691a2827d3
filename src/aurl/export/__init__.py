"""Scores in other forms than MIDI."""
