"""What streams tell beside the music, so that it can be asked for: facts, chords, and both sides of what is missing."""
