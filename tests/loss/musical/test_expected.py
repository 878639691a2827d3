import pytest
import torch

from aurl.loss.musical.expected import counts, expected
from aurl.tokens.vocabulary import NOTE_OFF, TIME_SHIFT, VELOCITY

SIZE = VELOCITY.stop + 3


def logits_of(kind=torch.float64):
    return torch.randn(2, 3, SIZE, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(kind)


def plainly(logits):
    """By torch's own operations."""
    chances = logits.softmax(-1)
    notes, waits = chances[..., : NOTE_OFF.start], chances[..., TIME_SHIFT.start : TIME_SHIFT.stop]
    note, wait = notes.sum(-1), waits.sum(-1)
    pitches = notes / note[..., None]
    classes = torch.stack([pitches[..., pitch_class::12].sum(-1) for pitch_class in range(12)], -1)
    return pitches, waits / wait[..., None], note / (note + wait), classes


def test_they_are_conditional_probabilities():
    for found, plain in zip(expected(logits_of()), plainly(logits_of()), strict=True):
        torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (3,), (0, 1), (0, 2), (1, 3), (0, 1, 2, 3)])
def test_gradients_are_those_of_plain_operations_whichever_are_used(used):
    mixed = [torch.randn_like(part) for part in plainly(logits_of())]
    slopes = []
    for way in (expected, plainly):
        logits = logits_of().requires_grad_()
        parts = way(logits)
        sum((parts[place] * mixed[place]).sum() for place in used).backward()
        slopes.append(logits.grad)
    torch.testing.assert_close(*slopes)
    assert slopes[0].abs().sum() > 0


def test_gradcheck_on_a_few_ids():
    logits = logits_of()[:1, :1]
    few = [0, 60, NOTE_OFF.start, TIME_SHIFT.start, TIME_SHIFT.stop - 1, SIZE - 1]

    def some(values):
        return tuple(expected(logits.index_copy(2, torch.tensor(few), values)))

    assert torch.autograd.gradcheck(some, (logits[..., few].clone().requires_grad_(),))


def test_half_precision_is_computed_in_full_and_its_gradient_is_half():
    half = logits_of(torch.bfloat16).requires_grad_()
    found = expected(half)
    assert {part.dtype for part in found} == {torch.float32}
    for part, plain in zip(found, plainly(half.detach().float()), strict=True):
        torch.testing.assert_close(part, plain)
    sum(part.square().sum() for part in found).backward()
    assert half.grad.dtype == torch.bfloat16


def test_what_is_all_but_impossible_is_still_told_apart():
    logits = torch.zeros(1, 1, SIZE)
    logits[..., SIZE - 1] = 1000.0
    logits[..., 60] = 5.0
    pitches, waits, begins, _ = expected(logits)
    assert pitches[0, 0, 60] > 0.5
    assert waits.sum().item() == pytest.approx(1)
    assert begins.item() == pytest.approx((127 + 148.4131591) / (127 + 148.4131591 + 512), rel=1e-5)


def test_counts_by_hand():
    values = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]])
    found = counts(values, torch.tensor([[True, False, True]]), 2)
    assert found.tolist() == [[[1.0, 10.0], [4.0, 40.0]]]
