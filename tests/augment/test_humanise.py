from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import reference_codec
from tests.support.passages import whole, window
from tests.support.scores import score, scores, track

from aurl.augment import Augmenter
from aurl.tokens.codec import Codec

END = 10**9
"""Later than any note."""
PLAIN = Codec(parts=False, header=())


def humanised(passage, seed=0, *, steps=2, share=0.0):
    augmenter = Augmenter([{"kind": "humanise", "steps": steps, "share": share}], time_base="beats")
    return augmenter(passage, np.random.default_rng(seed))


def by_lane(ids):
    lanes = {}
    for part, pitch, onset, offset, level in reference_codec.decode(ids):
        lanes.setdefault((part, pitch), []).append((onset, offset, level))
    return lanes


@given(scores(), st.integers(0, 9), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_onsets_move_a_little_and_ends_stay_where_they_can(piece, steps, seed):
    passage = whole(piece, Codec())
    before, after = by_lane(passage.ids), by_lane(humanised(passage, seed, steps=steps).ids)
    assert before.keys() == after.keys()
    for lane, old in before.items():
        new = after[lane]
        assert sorted(level for *_, level in new) == sorted(level for *_, level in old)
        nexts = [onset for onset, *_ in new[1:]] + [END]
        for (a, b, _), (onset, offset, _), following in zip(old, new, nexts, strict=True):
            assert a - steps <= onset <= a + steps
            assert offset == (onset if a == b else min(max(b, onset + 1), following))


def test_every_distance_is_as_likely():
    passage = whole(score(track((100, 50, 60, 70))), PLAIN)
    counts = Counter(int(humanised(passage, seed, steps=2).ids[1]) - 255 for seed in range(1000))
    assert set(counts) == {98, 99, 100, 101, 102}
    assert min(counts.values()) > 150


def test_notes_move_each_for_itself():
    passage = whole(score(track(*((100, 50, 60 + i, 70) for i in range(12)))), PLAIN)
    onsets = {notes[0][0] for notes in by_lane(humanised(passage, steps=2).ids).values()}
    assert len(onsets) > 2


def test_nothing_moves_before_the_window_and_what_sounds_already_stays():
    piece = whole(score(track((0, 40, 60, 70), (32, 40, 62, 70))), PLAIN)
    inside = window(piece, 4, len(piece.ids), 1)
    assert inside.ids.tolist() == [775, 62, 263, 188, 287, 190, 776]
    starts = set()
    for seed in range(40):
        changed = humanised(inside, seed, steps=3)
        assert changed.start_step == inside.start_step
        steps, events = 0, {}
        for token in changed.ids.tolist()[1:-1]:
            steps += max(token - 255, 0) if token < 768 else 0
            if token < 256:
                events[token] = steps
        assert events[188] == 8
        assert events[190] == 40
        starts.add(events[62])
    assert starts == {0, 1, 2, 3}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_share_of_notes_that_get_another_level(share):
    passage = whole(score(track(*((8 * i, 4, 60, 70) for i in range(2000)))), PLAIN)
    levels = Counter(
        level for notes in by_lane(humanised(passage, steps=0, share=share).ids).values() for *_, level in notes
    )
    assert set(levels) <= {2, 3, 4}
    assert levels[2] / 2000 == pytest.approx(share / 2, abs=0.05)
    assert levels[4] / 2000 == pytest.approx(share / 2, abs=0.05)


def test_levels_end_where_they_do():
    passage = whole(score(track(*((8 * i, 4, 60, 127) for i in range(100)))), PLAIN)
    levels = Counter(
        level for notes in by_lane(humanised(passage, steps=0, share=1.0).ids).values() for *_, level in notes
    )
    assert set(levels) == {4, 5}
