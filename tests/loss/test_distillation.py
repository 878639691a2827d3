"""Distillation against numbers worked by hand."""

import math

import pytest
import torch
from torch.nn.functional import kl_div

from aurl.loss.distillation import Distillation, softened_divergence
from aurl.loss.terms import Outcome
from aurl.tokens.vocabulary import PAD

TARGET = PAD + 1


def logits_of(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()[None]


def some_logits(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_distributions_by_hand():
    teacher, student = logits_of([0.5, 0.5], [0.9, 0.1]), logits_of([0.25, 0.75], [0.5, 0.5])
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    second = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    cost = softened_divergence(student, teacher, torch.full((1, 2), TARGET), 1.0)
    assert cost.item() == pytest.approx(first + second, rel=1e-5)
    assert (first, second) == pytest.approx((0.143841, 0.368064), abs=1e-6)


def test_temperature_softens_both_and_is_squared():
    """At temperature 2, probabilities are as their square roots: 0.9 : 0.1 becomes 3 : 1."""
    teacher, student = logits_of([0.9, 0.1]), logits_of([0.5, 0.5])
    by_hand = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    cost = softened_divergence(student, teacher, torch.full((1, 1), TARGET), 2.0)
    assert cost.item() == pytest.approx(by_hand, rel=1e-5)


def test_what_is_not_predicted_does_not_count():
    student, teacher = some_logits(0, 3, 5, 11), some_logits(1, 3, 5, 11)
    targets = torch.full((3, 5), TARGET)
    targets[0, 3:] = targets[2] = PAD
    alone = [softened_divergence(student[:1, :3], teacher[:1, :3], targets[:1, :3], 3.0)]
    alone += [softened_divergence(student[1:2], teacher[1:2], targets[1:2], 3.0)]
    assert softened_divergence(student, teacher, targets, 3.0).item() == pytest.approx(sum(map(float, alone)), rel=1e-5)


def test_torch_says_the_same():
    student, teacher = some_logits(0, 2, 4, 9), some_logits(1, 2, 4, 9)
    expected = kl_div((student / 2).log_softmax(-1), (teacher / 2).log_softmax(-1), log_target=True, reduction="sum")
    found = softened_divergence(student, teacher, torch.full((2, 4), TARGET), 2.0)
    assert found.item() == pytest.approx(4 * expected.item(), rel=1e-5)


def test_gradient_is_that_of_differences():
    """T² × KL has the gradient T (softmax(s / T) − softmax(t / T))."""
    student, teacher = some_logits(0, 1, 3, 7).requires_grad_(), some_logits(1, 1, 3, 7)
    softened_divergence(student, teacher, torch.full((1, 3), TARGET), 2.5).backward()
    expected = 2.5 * ((student / 2.5).softmax(-1) - (teacher / 2.5).softmax(-1))
    torch.testing.assert_close(student.grad, expected, atol=1e-5, rtol=1e-4)


def test_who_equals_its_teacher_has_nothing_to_learn():
    logits = some_logits(0, 2, 6, 13).float().requires_grad_()
    outcome = Outcome(logits, torch.full((2, 6), TARGET), torch.zeros(2, 6), teacher=logits.detach().clone())
    charge = Distillation(weight=1.0, temperature=2.0)(outcome)["distillation"]
    charge.cost.backward()
    assert charge.cost.item() == 0.0
    assert logits.grad.abs().max() < 1e-6
    assert not charge.shown.requires_grad


def test_nobody_teaches():
    assert Distillation(weight=1.0, temperature=2.0)(Outcome(torch.zeros(1, 1, 4), *torch.zeros(2, 1, 1))) == {}
