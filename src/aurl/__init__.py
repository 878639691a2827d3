"""aurl: train a model of your own MIDI library, generate with it, and look inside what it learned."""

__version__ = "0.1.0"
