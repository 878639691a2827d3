"""Which split a piece belongs to, decided by the piece alone, so that it stays when others come and go."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from aurl.errors import UsageError
from aurl.registry import Registry

SplitName = Literal["train", "valid", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "valid", "test")
Split = Callable[[str, str], SplitName]
"""(sha256 in hexadecimal, path with forward slashes) → split."""

SPLITS: Registry[Split] = Registry("split")
_DIGITS = 16
"""Leading hexadecimal digits of the hash that are read as a fraction: 64 bits."""


@SPLITS.register("hash")
def by_hash(*, valid: Annotated[float, Ge(0), Lt(1)] = 0.1, test: Annotated[float, Ge(0), Lt(1)] = 0.1) -> Split:
    """Fractions of all pieces, drawn by their content.

    Args:
        valid: share of pieces for validation.
        test: share of pieces for testing.
    """
    if valid + test >= 1:
        raise UsageError(f"valid = {valid} and test = {test} leave nothing to train on")

    def split(sha256: str, path: str) -> SplitName:
        position = int(sha256[:_DIGITS], 16) / 16**_DIGITS
        if position < test:
            return "test"
        return "valid" if position < test + valid else "train"

    return split


@SPLITS.register("glob")
def by_glob(*, valid: tuple[str, ...] = (), test: tuple[str, ...] = ()) -> Split:
    """Patterns on the whole path, `*` reaching over folders; what matches none is for training.

    Args:
        valid: patterns of pieces for validation.
        test: patterns of pieces for testing; they win over `valid`.
    """

    def split(sha256: str, path: str) -> SplitName:
        if any(fnmatchcase(path, pattern) for pattern in test):
            return "test"
        return "valid" if any(fnmatchcase(path, pattern) for pattern in valid) else "train"

    return split
