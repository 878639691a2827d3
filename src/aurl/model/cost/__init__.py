"""Arithmetic and memory of each part of a model."""
