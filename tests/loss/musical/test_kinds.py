"""What all losses that hear music have in common."""

import pytest
import torch
from tests.support.events import off, on, shift
from tests.support.expected import expecting
from tests.support.legal_ids import walk

from aurl.loss.kinds import LOSSES, LossContext
from aurl.loss.musical.term import MusicalTerm
from aurl.loss.objective import build_objective
from aurl.loss.terms import Outcome
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import NOTE_OFF, PAD, SEP, VOCABULARY_SIZE

BASES = ("beats", "seconds")
ABOUT_PITCH = {"harsh_intervals", "leaps", "perceptual_harmony", "perceptual_melody"}
CASES = [
    (kind, base)
    for kind in LOSSES.kinds()
    for base in BASES
    if LOSSES.mode(kind) == "transformer" and isinstance(LOSSES.build(kind, LossContext("transformer")), MusicalTerm)
]
"""Kind and time base."""


@pytest.fixture(params=CASES, ids="-".join)
def cost(request):
    """Outcome → the cost of a kind."""
    kind, base = request.param
    term = LOSSES.build(kind, LossContext("transformer", time_base=base), weight=2.5)
    assert term.weights == {kind: 2.5}

    def charged(outcome):
        ((name, charge),) = term(outcome).items()
        assert name == kind
        assert charge.shown.item() == charge.cost.item()
        assert not charge.shown.requires_grad
        return charge.cost

    charged.kind = kind
    return charged


def music(rows=3, length=200, kind=torch.float32):
    """Random legal music of several parts, with any expectations; the last window ends early, all begin in context."""
    codec = Codec()
    ids = torch.tensor([walk(Grammar.of(codec), length, seed) for seed in range(rows)])
    ids[-1, length // 2 :] = PAD
    targets = ids.clone()
    targets[:, :5] = PAD
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(rows, length, codec.vocabulary_size, generator=generator).to(kind).requires_grad_()
    return Outcome(logits, targets, ids, start_steps=torch.arange(rows) * 50)


def rows_of(outcome, rows):
    return Outcome(
        outcome.logits[rows], outcome.targets[rows], outcome.following[rows], start_steps=outcome.start_steps[rows]
    )


def test_all_are_asked():
    assert {kind for kind, _ in CASES} == ABOUT_PITCH | {"rhythm_regularity", "perceptual_rhythm"}


def test_context_and_padding_have_no_gradient_and_everything_is_finite(cost):
    outcome = music()
    found = cost(outcome)
    found.backward()
    assert found.item() > 0
    gradient = outcome.logits.grad
    assert gradient.isfinite().all()
    assert gradient[outcome.targets != PAD].abs().sum() > 0
    assert gradient[outcome.targets == PAD].abs().sum() == 0


@pytest.mark.parametrize("wait", range(1, 8))
def test_what_comes_before_the_first_notes_is_finite(cost, wait):
    ids = torch.tensor([[shift(wait), off(60), shift(3), on(60), shift(wait), on(62), shift(5), on(64)]])
    outcome = Outcome(torch.zeros(1, 8, VOCABULARY_SIZE, requires_grad=True), ids, ids)
    found = cost(outcome)
    found.backward()
    assert found.isfinite()
    assert outcome.logits.grad.isfinite().all()


def test_batches_add_up(cost):
    outcome = music()
    parts = [cost(rows_of(outcome, slice(row, row + 1))).item() for row in range(3)]
    assert cost(outcome).item() == pytest.approx(sum(parts), rel=1e-5)
    assert min(parts) > 0


def test_half_precision_is_heard_in_full(cost):
    outcome = music(kind=torch.bfloat16)
    found = cost(outcome)
    found.backward()
    full = Outcome(outcome.logits.float(), outcome.targets, outcome.following, start_steps=outcome.start_steps)
    assert found.item() == cost(full).item()
    assert outcome.logits.grad.isfinite().all()


def test_who_is_certain_of_the_real_music_pays_nothing(cost):
    ids = [SEP, *walk(Grammar.of(Codec(parts=False, header=())), 150, 3)[1:]]
    assert cost(expecting(ids)).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("ids", [[PAD, PAD], [SEP], [SEP, shift(5), shift(7)], [off(60), shift(3)], [shift(5)]])
def test_where_no_note_begins_there_is_nothing_to_mind(cost, ids):
    logits = torch.randn(1, len(ids), VOCABULARY_SIZE, requires_grad=True)
    tokens = torch.tensor([ids])
    found = cost(Outcome(logits, tokens, tokens))
    found.backward()
    assert logits.grad.isfinite().all()
    if cost.kind != "perceptual_rhythm" or ids[0] == PAD:  # that one counts notes which should not be
        assert found.item() == 0
        assert not logits.grad.any()


def transposed(outcome, semitones):
    """Both the music and what is expected, higher."""
    ids = outcome.following
    moved = torch.where(ids < NOTE_OFF.stop, ids + semitones, ids)
    logits = outcome.logits.detach().clone()
    for group in (slice(0, 128), slice(128, 256)):
        logits[..., group] = logits[..., group].roll(semitones, -1)
    return Outcome(logits, moved, moved)


def test_transposition_changes_nothing(cost):
    """Chances are of four octaves in the middle only, so that none falls off the end."""
    ids = torch.tensor([[on(60), on(64), shift(16), off(60), on(67), shift(13), off(67), on(59), shift(40), on(70)]])
    logits = torch.randn(1, 10, VOCABULARY_SIZE, generator=torch.Generator().manual_seed(6))
    for group in (slice(0, 40), slice(88, 168), slice(216, 256)):
        logits[..., group] = -60.0
    outcome = Outcome(logits, ids, ids)
    found = cost(outcome).item()
    assert found > 0
    for semitones in (-7, 5, 12):
        assert cost(transposed(outcome, semitones)).item() == pytest.approx(found, rel=1e-4)


def test_a_profile_asks_for_them_and_the_log_names_them():
    terms = {kind: {"weight": 0.1} for kind, _ in CASES}
    profile = load_profile(flags={"loss.terms": terms, "loss.reconstruction": {"kind": "musical", "ordinal": 0.1}})
    outcome = music()
    losses = build_objective(profile, time_base="seconds")(outcome)
    assert set(terms) <= set(losses.parts)
    weighted = losses.parts["reconstruction_weighted"]
    extra = sum(0.1 * losses.parts[kind] for kind in terms)
    assert losses.total.item() == pytest.approx((weighted + extra).item(), rel=1e-5)
    assert losses.nats.item() != pytest.approx(weighted.item(), rel=1e-3)


def test_the_time_base_is_told():
    profile = load_profile(flags={"loss.terms": {"rhythm_regularity": {}}})
    costs = {base: build_objective(profile, time_base=base)(music()).parts["rhythm_regularity"] for base in BASES}
    assert costs["beats"].item() != costs["seconds"].item()
