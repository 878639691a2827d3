import json

import numpy as np
import pytest
import torch
from tests.support.training import small_profile
from torch import nn
from torch.nn.utils import clip_grad_norm_

from aurl.profile import load_profile
from aurl.training.clipping import CLIPPING
from aurl.training.trainer import fit

KINDS = CLIPPING.kinds()
NORMS = [float(value) for value in np.random.default_rng(5).lognormal(0.0, 1.0, 40).astype(np.float32)]


def factor(clipping, norm: float) -> float:
    found = clipping(torch.tensor(norm))
    return 1.0 if found is None else found.item()


def by_hand(norms: list[float], percentile: float, history: int) -> list[float]:
    """AutoClip with numpy: the percentile of all norms until then, the newest among them."""
    limits = [np.percentile(norms[max(0, n + 1 - history) : n + 1], percentile) for n in range(len(norms))]
    return [min(1.0, limit / (norm + 1e-6)) for limit, norm in zip(limits, norms, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_makes_a_gradient_longer(kind):
    clipping = CLIPPING.build(kind)
    assert all(0 < factor(clipping, norm) <= 1 for norm in NORMS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_for_in_a_profile(kind):
    profile = load_profile(flags={"training.clipping": {"kind": kind}})
    assert factor(CLIPPING.from_component(profile.training.clipping), 0.9) == pytest.approx(1.0, rel=1e-5)


def test_a_fixed_norm_is_torchs():
    layer = nn.Linear(4, 3)
    for size in (0.01, 0.5, 30.0):
        layer.weight.grad = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)) * size
        before = layer.weight.grad.clone()
        norm = clip_grad_norm_([layer.weight], 0.7)
        assert torch.equal(before * CLIPPING.build("norm", max_norm=0.7)(norm), layer.weight.grad)


@pytest.mark.parametrize(("percentile", "history"), [(90.0, 1000), (50.0, 7), (100.0, 2), (10.0, 40)])
def test_adaptive_is_a_percentile_of_what_was_seen(percentile, history):
    clipping = CLIPPING.build("adaptive", percentile=percentile, history=history)
    found = [factor(clipping, norm) for norm in NORMS]
    assert found == pytest.approx(by_hand(NORMS, percentile, history), rel=1e-5)
    if percentile < 100:
        assert min(found) < 0.9


def test_norms_that_are_no_numbers_are_not_remembered():
    clipping = CLIPPING.build("adaptive", percentile=50.0)
    assert torch.isnan(clipping(torch.tensor(torch.nan)))  # what diverges is not hidden
    assert factor(clipping, 2.0) == pytest.approx(1.0, rel=1e-5)
    assert factor(clipping, torch.inf) == 0.0
    assert factor(clipping, 4.0) == pytest.approx(3.0 / 4.0, rel=1e-5)


@pytest.mark.parametrize("steps", [0, 3, 7, 8, 25])
def test_a_history_goes_on_where_it_was(steps):
    """Through JSON, before the ring is full, when it is just full, and later."""
    whole, first = (CLIPPING.build("adaptive", percentile=60.0, history=8) for _ in range(2))
    for norm in NORMS[:steps]:
        assert factor(whole, norm) == factor(first, norm)
    second = CLIPPING.build("adaptive", percentile=60.0, history=8)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert [factor(whole, norm) for norm in NORMS[steps:]] == [factor(second, norm) for norm in NORMS[steps:]]


@pytest.mark.parametrize(("before", "after"), [(8, 5), (5, 8)])
def test_another_length_keeps_the_newest(before, after):
    first = CLIPPING.build("adaptive", percentile=60.0, history=before)
    for norm in NORMS[:20]:
        first(torch.tensor(norm))
    second = CLIPPING.build("adaptive", percentile=60.0, history=after)
    second.load_state_dict(first.state_dict())
    kept = min(before, after)
    limit = np.percentile([*NORMS[20 - kept : 20], NORMS[20]][-after:], 60.0)
    assert factor(second, NORMS[20]) == pytest.approx(min(1.0, limit / (NORMS[20] + 1e-6)), rel=1e-5)


def test_norms_are_logged_as_they_were_before_clipping(dataset, tmp_path):
    norms = []
    for clipping in ({"kind": "none"}, {"kind": "norm", "max_norm": 1e-4}):
        result = fit(small_profile(max_steps=1, clipping=clipping), dataset, tmp_path / clipping["kind"], threads=1)
        norms.append(result.metrics["gradient_norm"])
    assert norms[0] == norms[1] > 1e-3
