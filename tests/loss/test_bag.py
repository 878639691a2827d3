import math

import pytest
import torch

from aurl.loss.bag import bag_sum
from aurl.tokens.vocabulary import PAD

VOCABULARY = PAD + 1


def test_each_id_is_told_by_its_own_segment():
    """Segment 0 gives id 60 half of the probability, segment 1 a quarter, and id 61 an eighth."""
    probabilities = torch.full((1, 2, VOCABULARY), 1e-6)
    probabilities[0, 0, 60], probabilities[0, 1, 60], probabilities[0, 1, 61] = 0.5, 0.25, 0.125
    rest = probabilities.clone()
    rest[0, 0, 62], rest[0, 1, 62] = 1 - probabilities[0, 0].sum(), 1 - probabilities[0, 1].sum()
    ids, segment = torch.tensor([[60, 60, 61, PAD]]), torch.tensor([0, 1, 1, 1])
    assert bag_sum(rest.log(), ids, segment).item() == pytest.approx(math.log(2 * 4 * 8), rel=1e-4)


def test_equals_the_likelihood_with_logits_spread_over_all_positions():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, VOCABULARY, generator=generator, requires_grad=True)
    ids = torch.randint(0, PAD, (3, 13), generator=generator)
    ids[1, 9:] = PAD
    segment = torch.arange(13) // 4
    total = bag_sum(logits, ids, segment)
    spread = logits[:, segment].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(spread, ids.flatten(), ignore_index=PAD, reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    found, wanted = (torch.autograd.grad(one, logits, retain_graph=True)[0] for one in (total, expected))
    torch.testing.assert_close(found, wanted)


def test_order_within_a_segment_does_not_matter():
    logits = torch.randn(1, 2, VOCABULARY, generator=torch.Generator().manual_seed(2))
    segment = torch.tensor([0, 0, 0, 1])
    ids = torch.tensor([[1, 2, 3, 4]])
    assert bag_sum(logits, ids[:, [2, 0, 1, 3]], segment).item() == pytest.approx(bag_sum(logits, ids, segment).item())
    assert bag_sum(logits, ids[:, [3, 1, 2, 0]], segment).item() != pytest.approx(bag_sum(logits, ids, segment).item())


def test_half_precision_is_computed_in_full():
    logits = torch.randn(1, 1, VOCABULARY).bfloat16()
    ids, segment = torch.tensor([[5, 6]]), torch.tensor([0, 0])
    assert bag_sum(logits, ids, segment).item() == bag_sum(logits.float(), ids, segment).item()
