from collections import Counter

import numpy as np
import pytest
from tests.support.passages import whole
from tests.support.scores import score, track

from aurl.augment import Augmenter
from aurl.tokens.codec import Codec

BAND = score(
    track((0, 8, 60, 70), program=0),
    track((0, 8, 62, 70), program=39),
    track((0, 8, 36, 70), is_drum=True),
    track((8, 8, 64, 70), program=127),
)
PASSAGE = whole(BAND, Codec())


def substituted(seed, **options):
    augmenter = Augmenter([{"kind": "instruments", **options}], time_base="beats")
    return augmenter(PASSAGE, np.random.default_rng(seed))


def programs(passage):
    return [DRUMS if one.is_drum else one.program for one in Codec().decode(passage.ids).tracks]


DRUMS = 128


def test_each_of_the_seven_neighbours_is_as_likely_and_drums_stay():
    found = [programs(substituted(seed, share=1.0)) for seed in range(1400)]
    for place, family in ((0, range(1, 8)), (1, range(32, 39)), (3, range(120, 127))):
        counts = Counter(row[place] for row in found)
        assert set(counts) == set(family)
        assert min(counts.values()) > 130
    assert {row[2] for row in found} == {DRUMS}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_parts_that_change(share):
    rows = [programs(substituted(seed, share=share)) for seed in range(1000)]
    changed = sum(new != old for row in rows for new, old in zip(row, (0, 39, DRUMS, 127), strict=True))
    assert changed / 3000 == pytest.approx(share, abs=0.03)


def test_nothing_but_programs_changes():
    changed = substituted(1, share=1.0)
    different = np.flatnonzero(changed.ids != PASSAGE.ids)
    assert set(different) <= {at for at, token in enumerate(PASSAGE.ids.tolist()) if 811 <= token < 940}
    assert len(different) == 3
    assert changed.context == PASSAGE.context


def test_streams_without_parts_name_no_instruments():
    passage = whole(BAND, Codec(parts=False))
    augmenter = Augmenter([{"kind": "instruments", "share": 1.0}], time_base="beats")
    assert augmenter(passage, np.random.default_rng(0)).ids.tolist() == passage.ids.tolist()
