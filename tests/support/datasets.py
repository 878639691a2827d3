"""Data sets for tests."""

from pathlib import Path

from aurl.profile import Profile, load_profile


def make_profile(*overrides: str) -> Profile:
    """A profile whose shards are so small that a few tunes fill several."""
    return load_profile(overrides=["prepare.shard_tokens=1500", *overrides], check={"preprocess", "split"})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a data set but index and lock, whose bytes say nothing, and the page, which has its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name[0] != "." and "sqlite" not in path.name and path.suffix != ".html"
    }
