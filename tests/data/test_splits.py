import hashlib

import pytest

from aurl.data.splits import SPLIT_NAMES, SPLITS, by_glob, by_hash
from aurl.errors import UsageError

HASHES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000)]


def test_shares_are_as_asked():
    split = by_hash(valid=0.2, test=0.05)
    found = [split(sha256, "") for sha256 in HASHES]
    assert found.count("valid") / len(found) == pytest.approx(0.2, abs=0.01)
    assert found.count("test") / len(found) == pytest.approx(0.05, abs=0.01)


def test_a_larger_validation_split_keeps_what_it_had():
    small, large = by_hash(valid=0.1, test=0.1), by_hash(valid=0.3, test=0.1)
    for sha256 in HASHES[:2000]:
        if small(sha256, "") != "train":
            assert large(sha256, "") == small(sha256, "")


def test_the_path_does_not_matter_to_the_hash():
    split = by_hash()
    assert all(split(sha256, "a.mid") == split(sha256, "elsewhere/b.mid") for sha256 in HASHES[:100])


def test_globs_decide_by_path_and_test_wins():
    split = by_glob(valid=("*/44?/*", "*/held/*"), test=("*/held/last.mid",))
    assert split("", "/music/441/a.mid") == "valid"
    assert split("", "/music/held/first.mid") == "valid"
    assert split("", "/music/held/last.mid") == "test"
    assert split("", "/music/500/a.mid") == "train"


def test_nothing_left_to_train_on_is_an_error():
    with pytest.raises(UsageError):
        by_hash(valid=0.6, test=0.4)


@pytest.mark.parametrize("kind", SPLITS.kinds())
def test_every_kind_works_with_its_defaults(kind):
    split = SPLITS.build(kind)
    assert all(split(sha256, "/a/b.mid") in SPLIT_NAMES for sha256 in HASHES[:10])
