"""Folders of MIDI files → token shards, and shards → batches."""
