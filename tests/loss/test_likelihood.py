import pytest
import torch
from tests.support.legal_ids import walk
from torch.nn.functional import cross_entropy

from aurl.loss.likelihood import WEIGHTED, Likelihood
from aurl.loss.terms import RECONSTRUCTION, Outcome
from aurl.loss.weighting import KINDS, WEIGHTINGS, kinds_of_ids
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import PAD

CODEC = Codec()


@pytest.fixture
def music():
    """Logits and ids of three windows; the last one ends early, and all begin with context."""
    ids = torch.tensor([walk(Grammar.of(CODEC), 80, seed) for seed in range(3)])
    ids[2, 50:] = PAD
    targets = ids.clone()
    targets[:, :7] = PAD
    torch.manual_seed(1)
    return torch.randn(3, 80, CODEC.vocabulary_size, requires_grad=True), targets, ids


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_without_weights_it_is_torchs_cross_entropy_bit_by_bit(music, smoothing, kind):
    logits, targets, ids = music
    given = [logits.detach().to(kind).requires_grad_() for _ in range(2)]
    flat = given[0].float().flatten(0, 1)
    cross_entropy(flat, targets.flatten(), ignore_index=PAD, reduction="sum", label_smoothing=smoothing).backward()
    expected = cross_entropy(
        flat, targets.flatten(), ignore_index=PAD, reduction="sum", label_smoothing=smoothing
    ).item()
    charge = Likelihood(smoothing)(Outcome(given[1], targets, ids))[RECONSTRUCTION]
    charge.cost.backward()
    assert charge.cost.item() == expected
    assert torch.equal(given[0].grad, given[1].grad)
    assert charge.shown.item() == cross_entropy(flat, targets.flatten(), ignore_index=PAD, reduction="sum").item()


@pytest.mark.parametrize("weighting", [None, WEIGHTINGS.build("musical", ordinal=0.2)])
def test_the_kinds_of_targets_make_up_the_likelihood(music, weighting):
    logits, targets, ids = music
    charges = Likelihood(0.0, weighting)(Outcome(logits, targets, ids))
    nats = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="none").view(3, 80)
    kinds = kinds_of_ids()[targets]
    for number, kind in enumerate(KINDS):
        assert charges[f"nll_{kind}"].shown.item() == pytest.approx(nats[kinds == number].sum().item(), rel=1e-5)
        assert charges[f"nll_{kind}"].shown.item() > 0
    whole = sum(charges[f"nll_{kind}"].shown for kind in KINDS)
    assert whole.item() == pytest.approx(charges[RECONSTRUCTION].shown.item(), rel=1e-5)


def test_weights_change_what_is_minimised_but_not_what_is_reported(music):
    logits, targets, ids = music
    weighting = WEIGHTINGS.build("musical")
    charges = Likelihood(0.0, weighting)(Outcome(logits, targets, ids))
    nats = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="none").view(3, 80)
    expected = (nats * weighting(targets, ids).weights).sum().item()
    assert charges[RECONSTRUCTION].cost.item() == pytest.approx(expected, rel=1e-5)
    assert charges[WEIGHTED].shown.item() == charges[RECONSTRUCTION].cost.item()
    assert charges[RECONSTRUCTION].shown.item() == pytest.approx(nats.sum().item(), rel=1e-5)
    assert not any(charge.shown.requires_grad for charge in charges.values())
    assert set(Likelihood(0.0, weighting).weights) == {RECONSTRUCTION}
    assert WEIGHTED not in Likelihood()(Outcome(logits, targets, ids))


def test_smoothing_is_weighted_too(music):
    """With weights that are all 1 it is torch's."""
    logits, targets, ids = music
    flat = dict.fromkeys(KINDS, 1.0) | {"onset": 1.0}
    charge = Likelihood(0.1, WEIGHTINGS.build("musical", **flat))(Outcome(logits, targets, ids))[RECONSTRUCTION]
    expected = cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum", label_smoothing=0.1
    )
    assert charge.cost.item() == pytest.approx(expected.item(), rel=1e-5)


def test_context_and_padding_have_no_gradient(music):
    logits, targets, ids = music
    weighting = WEIGHTINGS.build("musical", ordinal=0.5)
    Likelihood(0.1, weighting)(Outcome(logits, targets, ids))[RECONSTRUCTION].cost.backward()
    assert logits.grad[targets == PAD].abs().sum() == 0
    assert (logits.grad[targets != PAD].abs().sum(1) > 0).all()
