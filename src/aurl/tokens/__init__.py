"""Scores as ids and back: vocabulary, codec, grammar, positions."""
