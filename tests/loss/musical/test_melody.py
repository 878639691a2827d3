import pytest
import torch
from tests.support.events import off, on, shift
from tests.support.expected import expecting

from aurl.loss.kinds import LOSSES, LossContext
from aurl.loss.musical.expected import pitch_classes
from aurl.loss.musical.melody import leaps_sum, melody_distance
from aurl.loss.musical.played import Played

LINE = [on(60), shift(8), off(60), on(62), shift(8), off(62)]
"""C, then D."""


def leaping(ids, chances, **options):
    (charge,) = LOSSES.build("leaps", LossContext("transformer"), **options)(expecting(ids, chances)).values()
    return charge.cost.item()


def distance(outcome):
    what = outcome.expected
    return melody_distance(what.pitches, what.classes, outcome.played, segment=64)


@pytest.mark.parametrize(
    ("chances", "options", "expected"),
    [
        ({62: 1.0}, {}, 0),
        ({62: 0.5, 67: 0.25, 53: 0.25}, {}, 0),  # fifths up and down are no leaps
        ({62: 0.5, 72: 0.5}, {}, 0.5 * 5 / 12),
        ({62: 0.5, 48: 0.25, 73: 0.25}, {}, 0.25 * 5 / 12 + 0.25 * 6 / 12),
        ({62: 0.5, 65: 0.5}, {"largest": 2}, 0.5 * 3 / 12),
        ({62: 0.5, 60: 0.5}, {"largest": 0, "excess": False}, 0.5 * 2 / 12),
    ],
)
def test_leaps_by_hand(chances, options, expected):
    told = {on(pitch): chance for pitch, chance in chances.items()}
    assert leaping(LINE, {3: told}, **options) == pytest.approx(expected, abs=1e-5)


def test_what_leaps_no_wider_than_the_real_note_costs_nothing_in_excess():
    """A sixth up was played; an octave is three semitones more, a sixth down is none."""
    ids = [on(60), shift(8), on(69)]
    assert leaping(ids, {2: {on(69): 0.5, on(72): 0.5}}) == pytest.approx(0.5 * 3 / 12, abs=1e-5)
    assert leaping(ids, {2: {on(69): 0.5, on(51): 0.5}}) == pytest.approx(0, abs=1e-5)
    assert leaping(ids, {2: {on(69): 0.5, on(51): 0.5}}, excess=False) == pytest.approx(2 / 12, abs=1e-5)


def test_only_the_melody_is_asked():
    """The lower note of the chord may be anything; the first note of all follows none."""
    ids = [on(60), shift(8), on(50), on(62)]
    assert leaping(ids, {0: {on(20): 1.0}, 2: {on(20): 1.0}}) == pytest.approx(0, abs=1e-5)
    assert leaping(ids, {3: {on(20): 1.0}}) == pytest.approx(33 / 12, abs=1e-4)


def test_mass_on_a_wider_leap_costs_more():
    costs = [leaping(LINE, {3: {on(62): 0.8, on(pitch): 0.2}}) for pitch in (68, 72, 84, 96)]
    assert costs == sorted(costs)
    assert costs[0] > 0


def test_the_distance_by_hand():
    """Half of D is expected as C an octave higher: a unison (folded) for a second, and 1 for 2/12 of an octave."""
    outcome = expecting(LINE, {3: {on(62): 0.5, on(72): 0.5}})
    found = distance(outcome)
    assert found.item() == pytest.approx(2 * 0.5**2 + 2 * (0.5 * (1 - 2 / 12)) ** 2, abs=1e-5)


def test_the_way_matters():
    """B below C is as far away as C♯ above it."""
    ids = [on(60), shift(8), on(61)]
    outcome = expecting(ids, {2: {on(59): 1.0}})
    assert distance(outcome).item() == pytest.approx((2 / 12) ** 2, abs=1e-5)


@pytest.mark.parametrize("excess", [True, False])
def test_gradients(excess):
    music = torch.tensor([[*LINE, on(70)]])
    logits = torch.randn(1, 7, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 3
    what = Played(music, music)

    def costs(part):
        likely = torch.cat([logits[..., :64], part, logits[..., 76:]], -1).softmax(-1)
        leap = leaps_sum(likely, what, largest=5, excess=excess)
        return leap, melody_distance(likely, pitch_classes(likely), what, segment=4)

    assert torch.autograd.gradcheck(costs, (logits[..., 64:76].clone().requires_grad_(),))
