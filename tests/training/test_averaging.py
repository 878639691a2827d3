import pytest
import torch
from torch import nn

from aurl.training.averaging import average_weights, decay_at


def test_average_follows_the_formula():
    model = nn.Linear(1, 1, bias=False)
    values = torch.randn(300, generator=torch.Generator().manual_seed(3)).tolist()
    average = average_weights(model, decay=0.9)
    expected = None
    for n, value in enumerate(values):
        model.weight.data.fill_(value)
        average.update_parameters(model)
        keep = min(0.9, (1 + n) / (10 + n))
        expected = value if expected is None else keep * expected + (1 - keep) * value
        assert average.module.weight.item() == pytest.approx(expected, abs=1e-5)


def test_short_runs_forget_the_random_start():
    """After 100 updates a fixed decay of 0.999 would still hold 90 % of the first weights."""
    model = nn.Linear(1, 1, bias=False)
    average = average_weights(model, decay=0.999)
    for step in range(100):
        model.weight.data.fill_(0.0 if step == 0 else 1.0)
        average.update_parameters(model)
    assert average.module.weight.item() > 0.999


def test_decay_rises_to_its_limit():
    assert decay_at(0, 0.999) == 0.1
    assert decay_at(90, 0.999) == 0.91
    assert decay_at(10**6, 0.999) == 0.999


def test_average_is_a_copy_in_evaluation_mode():
    model = nn.Linear(2, 2)
    average = average_weights(model, 0.9)
    model.weight.data.zero_()
    assert average.module.weight.abs().sum() > 0
    assert not average.module.training
    assert model.training
