"""What is known of a file besides its notes: composer, genre, title, split."""

from aurl.data.labels.labels import Labels, Unused

__all__ = ["Labels", "Unused"]
