"""What the notes of a passage say about its key and its chords, and how people write both."""
