import math

import pytest
import torch

from aurl.loss.reconstruction import Counts, cross_entropy_sum, nats, targets_of
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT

VOCABULARY = PAD + 3


def logits_of(probabilities: dict[int, float]) -> torch.Tensor:
    """Logits whose softmax gives the probabilities named, the rest spread over all other ids."""
    rest = (1 - sum(probabilities.values())) / (VOCABULARY - len(probabilities))
    values = torch.full((VOCABULARY,), rest)
    for index, probability in probabilities.items():
        values[index] = probability
    return values.log()


def test_cross_entropy_is_the_sum_of_minus_log_probabilities():
    logits = torch.stack([logits_of({60: 0.5}), logits_of({60: 0.25, 61: 0.125})])[None]
    targets = torch.tensor([[60, 61]])
    assert cross_entropy_sum(logits, targets).item() == pytest.approx(math.log(2) + math.log(8), rel=1e-5)


def test_padding_costs_nothing_and_has_no_gradient():
    logits = torch.zeros(1, 3, VOCABULARY, requires_grad=True)
    loss = cross_entropy_sum(logits, torch.tensor([[60, PAD, PAD]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(VOCABULARY), rel=1e-5)
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1:].abs().sum() == 0


def test_all_padding_is_zero_not_nan():
    assert cross_entropy_sum(torch.zeros(1, 2, VOCABULARY), torch.full((1, 2), PAD)).item() == 0.0


def test_smoothing_mixes_with_the_mean_over_all_ids():
    logits = torch.randn(1, 1, VOCABULARY, dtype=torch.float64).float()
    log_probabilities = logits[0, 0].double() - torch.logsumexp(logits[0, 0].double(), 0)
    expected = -(0.9 * log_probabilities[60] + 0.1 * log_probabilities.mean())
    found = cross_entropy_sum(logits, torch.tensor([[60]]), label_smoothing=0.1)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_half_precision_logits_are_computed_in_full():
    logits = torch.randn(2, 5, VOCABULARY).bfloat16()
    targets = torch.randint(0, 128, (2, 5))
    assert cross_entropy_sum(logits, targets).item() == cross_entropy_sum(logits.float(), targets).item()


def test_nats_have_no_gradient():
    assert not nats(torch.zeros(1, 1, VOCABULARY, requires_grad=True), torch.tensor([[1]])).requires_grad


def test_counts_leave_out_padding_and_know_notes():
    targets = torch.tensor([[NOTE_ON.start, NOTE_ON.stop - 1, NOTE_OFF.start, TIME_SHIFT.start, EOS, PAD]])
    assert Counts.of(targets) == Counts(tokens=5, notes=2)


def test_bos_is_never_a_target_and_eos_is():
    targets = targets_of(torch.tensor([[BOS, 60, EOS, PAD]]))
    assert targets.tolist() == [[60, EOS, PAD]]


def test_repeated_header_is_context_only():
    ids = torch.tensor([[BOS, 800, 801, 60, 61], [BOS, 800, 801, 60, 61]])
    targets = targets_of(ids, torch.tensor([3, 0]))
    assert targets.tolist() == [[PAD, PAD, 60, 61], [800, 801, 60, 61]]
