from itertools import product

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.preprocess import PREPROCESS
from aurl.preprocess.adaptive import CHANGE, _cheapest, beat_grids

BEAT = 480
STRAIGHT, TRIPLET, SIXTEENTHS = (0, 240), (0, 160, 320), (0, 120, 240, 360)


def adapted(places, *, missed=0.0, seed=0, **options):
    """Onsets after adaptive quantisation of places that a player misses by `missed` beats."""
    rng = np.random.default_rng(seed)
    wrong = np.rint(rng.normal(0, missed * BEAT, len(places))).astype(int)
    rows = [
        (max(place + miss, 0), 60, 60 + i % 12, 70) for i, (place, miss) in enumerate(zip(places, wrong, strict=True))
    ]
    step = PREPROCESS.build("quantize", mode="adaptive", **options)
    done = step(score(track(*rows), ticks_per_beat=BEAT))
    return (done.tracks[0].notes.onset * BEAT // done.ticks_per_beat).tolist()


def beats(*patterns):
    return [beat * BEAT + place for beat, pattern in enumerate(patterns) for place in pattern]


def test_candidates_divide_a_beat_and_are_no_finer_than_asked():
    assert beat_grids(["1/16"]) == ("1/4", "1/8", "1/8t", "1/16")
    assert beat_grids(["1/8", "1/32t"]) == ("1/4", "1/8", "1/8t", "1/16", "1/16t", "1/32", "1/32t")
    assert beat_grids(["1/4"]) == ("1/4",)
    assert beat_grids(["1/4t"]) == ("1/4",)


@pytest.mark.parametrize("seed", range(5))
def test_each_beat_gets_its_own_grid(seed):
    music = beats(STRAIGHT, STRAIGHT, TRIPLET, TRIPLET, SIXTEENTHS, SIXTEENTHS, TRIPLET, (0,), SIXTEENTHS)
    assert adapted(music, missed=0.02, seed=seed) == music


def test_the_coarsest_grid_that_fits_is_taken():
    music = beats(*[STRAIGHT] * 8)
    early = [place + (28 if place == 3 * BEAT + 240 else 0) for place in music]
    assert adapted(early, grid="1/32t") == music
    assert (
        PREPROCESS.build("quantize", grid="1/32t")(
            score(track(*((place, 9, 60, 70) for place in early)), ticks_per_beat=BEAT)
        )
        .tracks[0]
        .notes.onset.tolist()
        != music
    )


def test_one_stray_note_does_not_change_the_grid():
    music = beats(*[TRIPLET] * 3, (0, 348), *[TRIPLET] * 3)  # 28 ticks after the triplet, 12 before the sixteenth
    assert adapted(music) == beats(*[TRIPLET] * 3, (0, 320), *[TRIPLET] * 3)
    assert adapted(beats((0, 348))) == [0, 360]


def test_a_player_who_misses_more_needs_more_tolerance():
    music = beats(*[STRAIGHT] * 16)
    assert adapted(music, missed=0.06, seed=1, tolerance=0.1, grid="1/32") == music
    assert adapted(music, missed=0.06, seed=1, tolerance=0.01, grid="1/32") != music


def test_ends_lie_on_the_grid_of_their_own_beat():
    rows = [(beat * BEAT + place, 500, 60 + i, 70) for i, (beat, place) in enumerate([(0, 0), (0, 240), (2, 165)])]
    rows += [(2 * BEAT + 318, 4, 70, 70), (2 * BEAT + 2, 4, 71, 70)]
    done = PREPROCESS.build("quantize", mode="adaptive")(score(track(*rows), ticks_per_beat=BEAT))
    notes = done.tracks[0].notes
    found = dict(zip(notes.pitch.tolist(), zip(notes.onset.tolist(), notes.offset.tolist(), strict=True), strict=True))
    assert found[60] == (0, 480)
    assert found[61] == (240, 720)
    assert found[62] == (2 * BEAT + 160, 3 * BEAT + 160)
    assert found[70] == (2 * BEAT + 320, 3 * BEAT)


@pytest.mark.parametrize("seed", range(20))
def test_the_path_is_the_cheapest_of_all(seed):
    costs = np.random.default_rng(seed).uniform(0, 2, (5, 3))

    def price(path):
        return sum(costs[row, column] for row, column in enumerate(path)) + CHANGE * np.count_nonzero(np.diff(path))

    best = min(product(range(3), repeat=5), key=price)
    assert tuple(_cheapest(costs)) == best
