import pytest
import torch

from aurl.errors import UsageError
from aurl.loss.objective import Objective, build_objective
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.profile import load_profile
from aurl.tokens.vocabulary import PAD


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, PAD + 2, generator=generator), torch.tensor([[1, 2, 3], [4, 5, PAD]])


def test_total_is_the_weighted_sum_and_parts_are_unweighted():
    terms = {"a": lambda logits, targets: logits.sum(), "b": lambda logits, targets: targets.sum().float()}
    logits, targets = batch()
    losses = Objective(terms, {"a": 2.0, "b": 0.5})(logits, targets)
    assert losses.parts["b"].item() == targets.sum().item()
    assert losses.total.item() == pytest.approx(2 * logits.sum().item() + 0.5 * targets.sum().item(), rel=1e-5)


def test_weight_of_an_unknown_term_is_an_error():
    with pytest.raises(UsageError, match="melody"):
        Objective({"reconstruction": cross_entropy_sum}, {"melody": 1.0})


def test_likelihood_is_unweighted_and_unsmoothed():
    logits, targets = batch()
    plain = build_objective(load_profile())(logits, targets)
    smoothed = build_objective(load_profile(overrides=["training.label_smoothing=0.1"]))(logits, targets)
    expected = cross_entropy_sum(logits, targets).item()
    assert plain.nats.item() == plain.total.item() == expected
    assert smoothed.nats.item() == expected
    assert smoothed.total.item() != expected


def test_only_the_total_has_a_gradient():
    logits, targets = batch()
    losses = build_objective(load_profile())(logits.requires_grad_(), targets)
    assert losses.total.requires_grad
    assert not losses.nats.requires_grad
    assert not any(part.requires_grad for part in losses.parts.values())
