"""Which split each content belongs to, once near-duplicates and history have had their say.

Rules, the first that applies:

1. A content whose own split (by hash, by path, by label) is what it was when the data set was last brought up to date
   stays in the split where it was then: nothing that has been trained on is ever tested on because files came or went.
2. Near-duplicates share one split. Where some have such a history, training wins over validation over testing.
   Otherwise it is the leader's own split; where a person has set splits by path or label, held-out wins.
3. Otherwise it is its own split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from aurl.data.assignments import Assignment
from aurl.data.labels import Labels
from aurl.data.near_duplicates import group
from aurl.data.splits import Split, SplitName

Dedupe = Literal["group", "keep-one", "off"]
SPLIT_LABEL = "split"
"""The label that sets a content's own split."""
TRAINED_FIRST: tuple[SplitName, ...] = ("train", "valid", "test")
HELD_OUT_FIRST: tuple[SplitName, ...] = ("test", "valid", "train")


class Content(NamedTuple):
    """A prepared content: SHA-256 of its bytes (hexadecimal), and the first path that has it."""

    sha256: str
    source: str


@dataclass(frozen=True)
class Rules:
    """How contents are assigned.

    Args:
        split: own split by hash or path.
        by_hand: whether it follows what a person has arranged, not chance.
        labels: of paths.
        dedupe: "group": near-duplicates share a split; "keep-one": and only one of them is served; "off": neither.
        similarity: share of features from which on contents are near-duplicates.
    """

    split: Split
    by_hand: bool
    labels: Labels
    dedupe: Dedupe
    similarity: float


def assign(
    contents: Sequence[Content],
    fingerprints: NDArray[np.uint32],
    rules: Rules,
    before: Mapping[str, Assignment],
) -> list[Assignment]:
    """The assignment of every content, in their order.

    Args:
        contents: each once, in the order of `leading_order`.
        fingerprints: (contents, FINGERPRINT_SIZE), in the same order; not looked at with dedupe "off".
        rules: how.
        before: SHA-256 → what the content was to the data set until now.
    """
    alone = rules.dedupe == "off"
    leaders = range(len(contents)) if alone else group(fingerprints, threshold=rules.similarity).tolist()
    plain = [_own(content, rules, before) for content in contents]
    members: dict[int, list[int]] = {}
    for at, leader in enumerate(leaders):
        members.setdefault(leader, []).append(at)
    result = list(plain)
    for leader, together in members.items():
        if len(together) == 1:
            continue
        split = _shared([plain[at] for at in together], plain[leader], rules, before)
        for at in together:
            served = rules.dedupe == "group" or at == leader
            result[at] = plain[at]._replace(split=split, leader=contents[leader].sha256, served=served)
    return result


def leading_order(contents: Sequence[Content], before: Mapping[str, Assignment]) -> list[int]:
    """Places of the contents in the order in which they may lead a group.

    What is known comes first, so that a newcomer joins a group and does not lead it.
    """
    return sorted(range(len(contents)), key=lambda at: (contents[at].sha256 not in before, contents[at].sha256))


def _own(content: Content, rules: Rules, before: Mapping[str, Assignment]) -> Assignment:
    """What the content would be alone."""
    labels = rules.labels.of(content.source)
    by_label = SPLIT_LABEL in labels
    own = cast("SplitName", labels[SPLIT_LABEL]) if by_label else rules.split(content.sha256, content.source)
    known = before.get(content.sha256)
    split = known.split if known is not None and known.own == own else own
    kept = {name: value for name, value in labels.items() if name != SPLIT_LABEL}
    return Assignment(content.sha256, content.source, split, own, labels=kept)


def _shared(
    together: Sequence[Assignment], leader: Assignment, rules: Rules, before: Mapping[str, Assignment]
) -> SplitName:
    """The split of a group."""
    known = {one.split for one in together if (was := before.get(one.sha256)) is not None and was.own == one.own}
    if known:
        return next(name for name in TRAINED_FIRST if name in known)
    by_hand = rules.by_hand or any(SPLIT_LABEL in rules.labels.of(one.source) for one in together)
    if by_hand:
        return next(name for name in HELD_OUT_FIRST if any(one.own == name for one in together))
    return leader.own
