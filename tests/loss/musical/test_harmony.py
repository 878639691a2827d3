from itertools import product

import pytest
import torch
from tests.support.events import off, on, shift
from tests.support.expected import expecting

from aurl.loss.kinds import LOSSES, LossContext
from aurl.loss.musical.expected import pitch_classes
from aurl.loss.musical.harmony import harmony_distance, harsh_intervals_sum, harshness_table
from aurl.loss.musical.played import Played

SECOND, TRITONE = 0.582 / 1.428, 0.453 / 1.428
CHORD = [on(60), on(64), on(67)]
"""C, E and G, each with those before it."""


def harshness(ids, chances, **options):
    (charge,) = LOSSES.build("harsh_intervals", LossContext("transformer"), **options)(expecting(ids, chances)).values()
    return charge.cost.item()


def test_the_table_by_hand():
    row = [0, 1, SECOND, 0, 0, 0, TRITONE, 0, 0, 0, SECOND, 1]
    torch.testing.assert_close(harshness_table(torch.device("cpu"))[0], torch.tensor(row))


def test_pitch_classes_add_up_octaves():
    pitches = torch.zeros(1, 1, 128)
    pitches[0, 0, [0, 12, 127]] = torch.tensor([0.25, 0.25, 0.5])
    assert pitch_classes(pitches)[0, 0].tolist() == [0.5, *[0] * 6, 0.5, *[0] * 4]


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ({67: 1.0}, 0.0),
        ({67: 0.5, 65: 0.25, 61: 0.25}, 0.25 + 0.25),  # F with E, C♯ with C
        ({67: 0.5, 62: 0.5}, 0.5 * 2 * SECOND),  # D with both
        ({67: 0.5, 66: 0.5}, 0.5 * (TRITONE + SECOND)),  # F♯
        ({67: 0.5, 77: 0.5}, 0.5),  # F an octave higher
    ],
)
def test_harshness_with_what_sounds_by_hand(chances, expected):
    told = {on(pitch): chance for pitch, chance in chances.items()}
    assert harshness(CHORD, {2: told}) == pytest.approx(expected, abs=1e-5)


def test_what_has_ended_sounds_no_more():
    ids = [on(60), shift(8), off(60), on(67)]
    assert harshness(ids, {3: {on(61): 0.5, on(67): 0.5}}) == pytest.approx(0, abs=1e-5)
    assert harshness([on(60), shift(8), on(67)], {2: {on(61): 0.5, on(67): 0.5}}) == pytest.approx(0.5, abs=1e-5)


def test_what_is_as_harsh_as_the_real_note_costs_nothing_in_excess():
    """F over C and E, where C♯ might have been."""
    ids, chances = [on(60), on(64), on(65)], {2: {on(65): 0.5, on(61): 0.5}}
    assert harshness(ids, chances) == pytest.approx(0, abs=1e-5)
    assert harshness(ids, chances, excess=False) == pytest.approx(1.0, abs=1e-5)


def test_only_notes_are_asked():
    """What a note would have been where none begins, and how likely it is that one begins, do not matter."""
    half = {2: {on(61): 0.25, on(67): 0.25, shift(3): 0.5}}
    assert harshness(CHORD, half) == pytest.approx(0.5, abs=1e-5)
    assert harshness([on(60), shift(4)], {1: {on(61): 0.5, shift(4): 0.5}}) == 0


def test_mass_on_a_harsher_note_costs_more():
    costs = [harshness(CHORD, {2: {on(67): 1 - share, on(61): share}}) for share in (0.1, 0.2, 0.4, 0.8)]
    assert costs == sorted(costs)
    assert costs[0] > 0


def test_the_distance_by_hand():
    """Half of G is expected as F. Classes: ±0.5. Intervals with C and E: a fourth for a fifth (5), 1 for 3."""
    outcome = expecting(CHORD, {2: {on(67): 0.5, on(65): 0.5}})
    found = harmony_distance(outcome.expected.classes, outcome.played, segment=64)
    assert found.item() == pytest.approx(2 * 0.5**2 + 2 * 0.5**2, abs=1e-5)


def test_what_evens_out_within_a_segment_costs_nothing():
    """C expected as D and D as C, nothing else sounding; in segments of one id both are wrong."""
    ids = [on(60), off(60), on(62), off(62)]
    outcome = expecting(ids, {0: {on(62): 1.0}, 2: {on(60): 1.0}})
    found = [harmony_distance(outcome.expected.classes, outcome.played, segment=size).item() for size in (4, 1)]
    assert found == pytest.approx([0, 4], abs=1e-5)


def test_the_expected_distance_is_least_where_the_probabilities_are_right():
    """Two notes of which each is one of three by chance: no gradient at the chances themselves, but elsewhere."""
    chances = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]], dtype=torch.float64)
    choices = torch.tensor([60, 64, 71])

    def slope(logits):
        likely = torch.zeros(1, 4, 128, dtype=torch.float64).index_put(
            (torch.tensor(0), torch.tensor([[0], [2]]), choices), logits.softmax(-1)
        )
        total = 0
        for first, second in product(range(3), repeat=2):
            ids = [int(choices[first]), off(choices[first]), int(choices[second]), off(choices[second])]
            music = torch.tensor([ids])
            chance = chances[0, first] * chances[1, second]
            total = total + chance * harmony_distance(pitch_classes(likely), Played(music, music), segment=4)
        return torch.autograd.grad(total, logits)[0]

    right, wrong = chances.log().requires_grad_(), torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert slope(right).abs().max() < 1e-12
    assert slope(wrong).abs().max() > 0.01


@pytest.mark.parametrize("excess", [True, False])
def test_gradients(excess):
    music = torch.tensor([[*CHORD, shift(4), off(60), on(62)]])
    logits = torch.randn(1, 6, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3
    what = Played(music, music)

    def costs(part):
        likely = pitch_classes(torch.cat([logits[..., :58], part, logits[..., 70:]], -1).softmax(-1))
        harsh = harsh_intervals_sum(likely, what, excess=excess)
        return harsh, harmony_distance(likely, what, segment=4)

    assert torch.autograd.gradcheck(costs, (logits[..., 58:70].clone().requires_grad_(),))
