import json

import pytest
import torch
from torch import nn

from aurl.training.averaging import LastAverage, average_weights, decay_at, equal_weights


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


def test_equal_weights_are_the_mean_of_all_that_were_seen():
    """Brute force, in float64."""
    generator = torch.Generator().manual_seed(4)
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    average, seen = equal_weights(model), []
    for _ in range(37):
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        average.update_parameters(model)
        seen.append([parameter.detach().double() for parameter in model.parameters()])
    for number, found in enumerate(average.module.parameters()):
        mean = torch.stack([weights[number] for weights in seen]).mean(0)
        torch.testing.assert_close(found.detach().double(), mean, rtol=0, atol=1e-6)


def test_the_last_average_begins_in_its_time_and_does_not_end():
    model = nn.Linear(1, 1, bias=False)
    last = LastAverage(model, start=0.5, lr_ratio=0.3)
    rates = []
    for value, done in enumerate([0.0, 0.4, 0.5, 0.6, 0.45]):  # a horizon may move away again
        rates.append(last.enter(done, lr=0.1, peak_lr=2.0))
        model.weight.data.fill_(float(value))
        last.update_parameters(model)
    assert rates == [0.1, 0.1, 0.6, 0.6, 0.6]
    assert last.updates == 3
    assert last.average.module.weight.item() == pytest.approx(3.0)


def test_the_last_average_goes_on_from_its_state():
    model = nn.Linear(1, 1, bias=False)
    last = LastAverage(model, start=0.0, lr_ratio=1.0)
    last.enter(0.1, lr=1.0, peak_lr=1.0)
    for value in (1.0, 2.0):
        model.weight.data.fill_(value)
        last.update_parameters(model)
    later = LastAverage(last.average.module, start=0.9, lr_ratio=1.0)
    later.load_state_dict(json.loads(json.dumps(last.state_dict())))
    later.enter(0.2, lr=1.0, peak_lr=1.0)
    model.weight.data.fill_(6.0)
    later.update_parameters(model)
    assert (later.begun, later.updates) == (True, 3)
    assert later.average.module.weight.item() == pytest.approx(3.0)
