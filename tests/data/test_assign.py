import numpy as np
import pytest

from aurl.data import assign as room
from aurl.data.assign import Content, Rules, leading_order
from aurl.data.fingerprint import FINGERPRINT_SIZE
from aurl.data.labels import Labels
from aurl.data.splits import SPLITS

BY_PATH = {"a": "train", "b": "valid", "c": "test"}


def rules(*, by_hand=False, dedupe="group", labels=()):
    """The own split is told by the first letter of the file."""
    return Rules(
        split=lambda sha256, path: BY_PATH[path.rpartition("/")[2][0]],
        by_hand=by_hand,
        labels=Labels.load(None, labels),
        dedupe=dedupe,
        similarity=0.5,
    )


def assign(contents, fingerprints, rules, before):
    """In the order of the contents given, whatever the order in which they may lead."""
    order = leading_order(contents, before)
    found = room.assign([contents[at] for at in order], fingerprints[order], rules, before)
    return [found[order.index(at)] for at in range(len(contents))]


def content(number, path):
    return Content(f"{number:064x}", path)


def prints(*kinds):
    """Fingerprints that are equal where the kinds are, and have nothing in common where they are not."""
    rng = np.random.default_rng(0)
    table = {kind: rng.integers(0, 2**32 - 1, FINGERPRINT_SIZE, dtype=np.uint32) for kind in dict.fromkeys(kinds)}
    return np.array([table[kind] for kind in kinds])


def splits(assignments):
    return [one.split for one in assignments]


def test_single_contents_go_where_they_belong():
    contents = [content(1, "/a.mid"), content(2, "/b.mid"), content(3, "/c.mid")]
    found = assign(contents, prints(1, 2, 3), rules(), {})
    assert splits(found) == ["train", "valid", "test"]
    assert [one.leader for one in found] == ["", "", ""]


def test_a_group_follows_its_leader():
    contents = [content(3, "/a1.mid"), content(1, "/c1.mid"), content(2, "/b1.mid"), content(4, "/a2.mid")]
    found = assign(contents, prints("x", "x", "x", "y"), rules(), {})
    assert splits(found) == ["test", "test", "test", "train"], "the smallest hash leads"
    assert [one.own for one in found] == ["train", "test", "valid", "train"]
    assert {one.leader for one in found[:3]} == {f"{1:064x}"}
    assert all(one.served for one in found)


def test_held_out_wins_where_a_person_has_arranged_it():
    contents = [content(1, "/a.mid"), content(2, "/b.mid")]
    assert splits(assign(contents, prints(1, 1), rules(by_hand=True), {})) == ["valid", "valid"]


def test_a_newcomer_joins_what_is_there():
    old = [content(5, "/b.mid")]
    before = {one.sha256: one for one in assign(old, prints("x"), rules(), {})}
    found = assign([content(1, "/a.mid"), *old], prints("x", "x"), rules(), before)
    assert splits(found) == ["valid", "valid"]
    assert {one.leader for one in found} == {f"{5:064x}"}


def test_what_joins_two_groups_brings_them_to_training():
    held, trained = content(1, "/c.mid"), content(2, "/a.mid")
    first = assign([held, trained], prints("x", "y"), rules(), {})
    assert splits(first) == ["test", "train"]
    together = assign([held, trained], prints("x", "x"), rules(), {one.sha256: one for one in first})
    assert splits(together) == ["train", "train"], "what has been trained on is never tested on"


def test_who_leaves_a_group_stays_where_it_was():
    contents = [content(1, "/a.mid"), content(2, "/c.mid")]
    before = {one.sha256: one for one in assign(contents, prints(1, 1), rules(), {})}
    found = assign(contents[1:], prints(1), rules(), before)
    assert splits(found) == ["train"]
    assert (found[0].own, found[0].leader) == ("test", "")


def test_a_moved_file_goes_where_it_was_moved():
    before = {one.sha256: one for one in assign([content(1, "/a.mid")], prints(1), rules(), {})}
    assert splits(assign([content(1, "/b.mid")], prints(1), rules(), before)) == ["valid"]


def test_keep_one_serves_the_leader_alone():
    contents = [content(2, "/a.mid"), content(1, "/a2.mid"), content(3, "/b.mid")]
    found = assign(contents, prints(1, 1, 2), rules(dedupe="keep-one"), {})
    assert [one.served for one in found] == [False, True, True]


def test_off_looks_at_no_fingerprint():
    contents = [content(1, "/a.mid"), content(2, "/b.mid")]
    found = assign(contents, prints(1, 1), rules(dedupe="off"), {})
    assert splits(found) == ["train", "valid"]


def test_labels_are_kept_and_set_splits():
    found = assign([content(1, "/valid/Bach/a.mid")], prints(1), rules(labels=("{split}/{composer}/*",)), {})
    assert splits(found) == ["valid"]
    assert found[0].labels == {"composer": "Bach"}


@pytest.mark.parametrize("seed", range(5))
def test_adding_files_moves_nothing_and_never_divides_a_group(seed):
    """By brute force over random libraries that grow in steps."""
    rng = np.random.default_rng(seed)
    made = Rules(SPLITS.build("hash", valid=0.3, test=0.3), False, Labels.load(None, ()), "group", 0.5)
    kinds = rng.integers(0, 40, 100)
    contents = [Content(rng.bytes(32).hex(), f"/{number}.mid") for number in range(100)]
    table = prints(*range(40))
    before = {}
    for count in (20, 50, 100):
        found = assign(contents[:count], table[kinds[:count]], made, before)
        for one, kind in zip(found, kinds, strict=False):
            same = {other.split for other, its in zip(found, kinds, strict=False) if its == kind}
            assert len(same) == 1
            assert before.get(one.sha256, one).split == one.split
        before = {one.sha256: one for one in found}
