from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.preprocess.grid import GRIDS, Lattice, grid_beats, is_triplet


def test_note_values_in_beats():
    assert [grid_beats(grid) for grid in GRIDS] == [
        *(Fraction(1, n) for n in (1, 2, 4, 8)),
        *(Fraction(2, n) for n in (3, 6, 12, 24)),
    ]


def test_points_of_sixteenths_and_their_triplets():
    lattice = Lattice.of(("1/16", "1/16t"), 480)
    assert lattice.points.tolist() == [0, 80, 120, 160, 240]
    assert lattice.bounds.tolist() == [44, 98, 142, 196]  # straight points get 55 % of the way to a triplet
    assert lattice.nearest(np.array([43, 44, 97, 98, 141, 142, 195, 196, 960 + 100])).tolist() == [
        *(0, 80, 80, 120, 120, 160, 160, 240, 960 + 120)
    ]


def test_a_note_lasts_at_least_a_step_of_the_finest_grid():
    lattice = Lattice.of(("1/16", "1/16t"), 480)
    onset = np.array([0, 80, 120, 160, 160])
    assert lattice.ends(onset, onset + 1).tolist() == [80, 160, 240, 240, 240]
    assert lattice.ends(onset[:1], np.array([118])).tolist() == [120]


@given(
    st.lists(st.sampled_from(GRIDS), min_size=1, max_size=3, unique=True),
    st.sampled_from([24, 96, 480]),
    st.integers(0, 10_000),
)
def test_nearest_is_what_trying_all_points_says(grids, ticks_per_beat, tick):
    lattice = Lattice.of(grids, ticks_per_beat)
    found = int(lattice.nearest(np.array([tick]))[0])
    straight, triplets = set(), set()
    for grid in grids:
        step = int(grid_beats(grid) * ticks_per_beat)
        (triplets if is_triplet(grid) else straight).update(range(0, tick + 6 * ticks_per_beat, step))
    points = sorted(straight | triplets)
    below, above = max(p for p in points if p <= tick), min(p for p in points if p > tick)
    share = Fraction(1, 2) + Fraction(1, 20) * ((below in straight) - (above in straight))
    assert found == (above if tick >= below + share * (above - below) else below)


@pytest.mark.parametrize("ticks", [2**31, 2**46])
def test_late_ticks_keep_their_place(ticks):
    assert Lattice.of(("1/16",), 480).nearest(np.array([ticks])).tolist() == [(2 * ticks + 120) // 240 * 120]
