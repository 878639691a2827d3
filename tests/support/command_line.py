"""Arguments for tests of the command line."""

TINY = [
    *("--profile", "tiny", "--set", "data.seq_len=64", "--set", "data.batch_size=4", "--set", "training.eval_every=3"),
    *("--set", "training.checkpoint_every=3", "--set", "training.sample_every=0", "--set", "training.precision=fp32"),
]
"""Options of a run that takes seconds."""
