"""Losses that know what ids mean as music: how notes sound together, follow each other and fall in time."""
