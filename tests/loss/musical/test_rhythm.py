import math

import pytest
import torch
from tests.support.events import off, on, shift
from tests.support.expected import expecting

from aurl.loss.kinds import LOSSES, LossContext
from aurl.loss.musical.played import Played
from aurl.loss.musical.rhythm import off_grid, off_grid_sum, rhythm_distance, uneven_sum, wait_classes

CPU = torch.device("cpu")
PULSE = [on(60), shift(32), on(62), shift(16), off(60), shift(16), on(64)]
"""Notes at 0, 32 and 64; the last wait follows one of 16."""


def irregularity(ids, chances, *, time_base="beats", start=0, **options):
    term = LOSSES.build("rhythm_regularity", LossContext("transformer", time_base=time_base), **options)
    (charge,) = term(expecting(ids, chances, start=start)).values()
    return charge.cost.item()


def test_the_grid_by_hand():
    """Points at 0, 8, 10⅔, 16, 21⅓, 24."""
    grid = off_grid(CPU) * 4
    third = 1 / 3
    by_hand = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2 * third, third, 4 * third, 3 - 2 * third, 2, 1, 0]
    torch.testing.assert_close(grid[:17], torch.tensor(by_hand))
    torch.testing.assert_close(grid[1:], grid[1:].flip(0))


@pytest.mark.parametrize(
    ("start", "real", "chances", "expected"),
    [
        (4, 4, {4: 1.0}, 0),
        (4, 4, {4: 0.5, 5: 0.25, 8: 0.25}, 0.25 * 1 / 4 + 0.25 * (4 / 3) / 4),  # to 8, 9 and 12
        (4, 4, {36: 0.5, 420: 0.5}, 0),  # whole beats more
        (4, 5, {5: 0.5, 8: 0.5}, 0.5 * (4 / 3 - 1) / 4),  # what was played was off by a step
        (0, 4, {4: 0.5, 3: 0.5}, 0),  # as far off as can be
    ],
)
def test_the_beat_by_hand(start, real, chances, expected):
    ids = [shift(real), on(60)]
    told = {0: {shift(wait): chance for wait, chance in chances.items()}}
    assert irregularity(ids, told, start=start) == pytest.approx(expected, abs=1e-5)


def test_without_excess_what_was_played_costs_too():
    assert irregularity([shift(4), on(60)], {}, excess=False) == pytest.approx(1.0, abs=1e-5)
    assert irregularity([shift(4), on(60)], {}) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ({16: 1.0}, 0),
        ({16: 0.5, 48: 0.5}, 0.5 * 32 / 48),  # 64 after 32
        ({16: 0.5, 1: 0.25, 80: 0.25}, 0.25 * 15 / 24.5 + 0.25 * 64 / 64),  # 17 and 96
    ],
)
def test_unevenness_where_no_beat_is_known_by_hand(chances, expected):
    told = {5: {shift(wait): chance for wait, chance in chances.items()}}
    assert irregularity(PULSE, told, time_base="seconds") == pytest.approx(expected, abs=1e-5)


def test_unevenness_of_the_real_music_is_that_of_the_npvi():
    """Intervals 32 and 24: 50 · mean of |i − d| / ((i + d) / 2) is 100 times half of that."""
    ids = [on(60), shift(32), on(62), shift(24), on(64), shift(32), on(60)]
    pairs = [(32, 24), (24, 32)]
    by_hand = sum(abs(i - d) / ((i + d) / 2) for d, i in pairs)
    assert irregularity(ids, {}, time_base="seconds", excess=False) == pytest.approx(by_hand, abs=1e-5)
    assert irregularity(ids, {}, time_base="seconds") == pytest.approx(0, abs=1e-5)


def test_only_waits_for_a_moment_are_asked():
    """That for the end of a note, and that within a chord, may be anything."""
    anything = {shift(5): 0.5, shift(300): 0.5}
    for time_base in ("beats", "seconds"):
        assert irregularity(PULSE, {3: anything}, time_base=time_base) == pytest.approx(0, abs=1e-5)
        played_chord = [on(60), shift(32), on(62), shift(1), on(64)]
        assert irregularity(played_chord, {3: anything}, time_base=time_base) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("time_base", ["beats", "seconds"])
def test_mass_on_a_worse_wait_costs_more(time_base):
    costs = [
        irregularity(PULSE, {5: {shift(16): 1 - share, shift(19): share}}, time_base=time_base)
        for share in (0.1, 0.3, 0.9)
    ]
    assert costs == sorted(costs)
    assert costs[0] > 0


def test_classes_of_waits_by_hand():
    classes = wait_classes(CPU)
    torch.testing.assert_close(classes.sum(1), torch.ones(512))
    assert classes[[0, 1, 255, 511]].argmax(1).tolist() == [0, 1, 8, 9]
    assert classes[47, 5].item() == pytest.approx(6 - math.log2(48))


def test_the_distance_by_hand():
    """A wait of 32 expected as 32, 64 and 48, and a note as another, or none; 1.1 notes instead of 1."""
    ids = [shift(32), on(60)]
    chances = {
        0: {shift(32): 0.4, shift(64): 0.2, shift(48): 0.2, on(60): 0.2},
        1: {on(61): 0.7, shift(9): 0.1, off(60): 0.2},  # the last is neither a note nor a wait
    }
    outcome = expecting(ids, chances)
    what = outcome.expected
    found = rhythm_distance(what.waits, what.begins, targets=outcome.targets, segment=64)
    moved = 0.25 + 0.25 * (math.log2(48) - 5)
    assert found.item() == pytest.approx(2 * moved**2 + (0.2 + 0.7 / 0.8 - 1) ** 2, abs=1e-5)
    (charge,) = LOSSES.build("perceptual_rhythm", LossContext("transformer"))(outcome).values()
    assert charge.shown.item() == pytest.approx(found.item(), rel=1e-5)


@pytest.mark.parametrize("excess", [True, False])
def test_gradients(excess):
    music = torch.tensor([PULSE])
    logits = torch.randn(1, 7, 512, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    what = Played(music, music)
    onset = torch.rand(1, 7, dtype=torch.float64)

    def costs(part):
        likely = torch.cat([logits[..., :12], part, logits[..., 24:]], -1).softmax(-1)
        return (
            off_grid_sum(likely, what, targets=music, excess=excess),
            uneven_sum(likely, what, targets=music, excess=excess),
            rhythm_distance(likely, onset + part.mean(-1), targets=music, segment=4),
        )

    assert torch.autograd.gradcheck(costs, (logits[..., 12:24].clone().requires_grad_(),))
