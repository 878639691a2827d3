"""The three user commands, one after the other, on real music that is already on the disk."""
