from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.data.curriculum import CURRICULUM, STAGES, Curriculum
from aurl.data.index import Pieces

PIECES = 40


def pieces():
    """Pieces whose lengths rise and whose complexity falls."""
    rising = np.arange(PIECES)
    none = np.zeros(PIECES, np.int32)
    columns = {
        "tokens": (rising + 1) * 100,
        "header": none + 1,
        "notes": none,
        "complexity": 1 - rising.astype(np.float32) / PIECES,
    }
    found = dict.fromkeys(Pieces._fields, none)
    return Pieces(**(found | {"shards": ("a",)} | columns))


EASIEST_FIRST = {"length": np.arange(PIECES), "complexity": np.arange(PIECES)[::-1]}
CURRICULA = st.builds(
    Curriculum,
    difficulty=st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).integers(0, 9, PIECES) / 9),
    epochs=st.floats(0.1, 9),
    start=st.floats(0.01, 1),
)


def test_every_kind_is_known_here():
    assert set(EASIEST_FIRST) == set(CURRICULUM.kinds())


@pytest.mark.parametrize("kind", CURRICULUM.kinds())
def test_the_first_epoch_begins_with_what_is_easy(kind):
    curriculum = CURRICULUM.build(kind, pieces(), epochs=2.0, start=0.1)
    windows = np.repeat(np.arange(PIECES), 30)
    order = curriculum.order(windows, 0, np.random.default_rng(0))
    admitted = EASIEST_FIRST[kind]
    assert set(windows[order[: len(order) // STAGES]]) <= set(admitted[: PIECES // 10])
    assert set(windows[order]) == set(admitted[: round(PIECES * sqrt(0.505) + 0.5)])
    assert len(order) == int(np.ceil(len(windows) * sqrt(0.505)))


@pytest.mark.parametrize("kind", CURRICULUM.kinds())
def test_afterwards_every_epoch_has_everything(kind):
    curriculum = CURRICULUM.build(kind, pieces(), epochs=2.0, start=0.1)
    for epoch in (1, 2, 50):
        order = curriculum.order(np.repeat(np.arange(PIECES), 3), epoch, np.random.default_rng(0))
        assert sorted(order) == list(range(3 * PIECES))


def test_competence_is_that_of_the_paper():
    curriculum = Curriculum(np.zeros(1), epochs=4.0, start=0.2)
    assert curriculum.competence(0) == pytest.approx(0.2)
    assert curriculum.competence(1) == pytest.approx(sqrt(1 * (1 - 0.04) / 4 + 0.04))
    assert curriculum.competence(4) == pytest.approx(1) == curriculum.competence(100)


@given(CURRICULA, st.integers(1, 500), st.integers(0, 12), st.integers(0, 2**32))
def test_windows_come_once_and_none_before_its_time(curriculum, count, epoch, seed):
    windows = np.sort(np.random.default_rng(seed).integers(0, PIECES, count))
    order = curriculum.order(windows, epoch, np.random.default_rng(seed))
    assert len(set(order.tolist())) == len(order) > 0
    assert len(order) == np.ceil(curriculum.competence(epoch + 1) * count) or curriculum.competence(epoch) == 1
    difficulty = np.sort(curriculum.difficulty[windows])
    for place, window in enumerate(order.tolist()):
        stage = next(stage for stage in range(STAGES) if len(order) * (stage + 1) // STAGES > place)
        share = curriculum.competence(epoch + stage / STAGES)
        admitted = max(int(np.ceil(share * count)), len(order) * (stage + 1) // STAGES)
        hardest = difficulty[admitted - 1]
        assert curriculum.difficulty[windows[window]] <= hardest


def test_windows_of_one_difficulty_are_let_in_by_chance():
    curriculum = Curriculum(np.zeros(1), epochs=9.0, start=0.1)
    firsts = {int(curriculum.order(np.zeros(50, int), 0, np.random.default_rng(seed))[0]) for seed in range(100)}
    assert len(firsts) > 30


def test_one_that_begins_later_is_as_one_that_began_then():
    early = Curriculum(np.arange(PIECES, dtype=np.float64), 2.0, 0.1)
    late = replace(early, first_epoch=3)
    piece = np.repeat(np.arange(PIECES), 3)
    for epoch in range(3):
        orders = [
            one.order(piece, first + epoch, np.random.default_rng(epoch)) for one, first in ((early, 0), (late, 3))
        ]
        assert np.array_equal(*orders)
    assert len(orders[0]) == len(piece)
    assert len(early.order(piece, 0, np.random.default_rng(0))) < len(piece)
