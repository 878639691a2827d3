import pytest
import torch

from aurl.model.latents.pooling import AttentionPooling, OrderedPooling

D_MODEL = 32


def random_input(*lengths):
    x = torch.randn(len(lengths), max(lengths), D_MODEL, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def ordered(count):
    torch.manual_seed(1)
    return OrderedPooling(D_MODEL, count)


@pytest.mark.parametrize("count", [1, 4, 8, 100])
@pytest.mark.parametrize("lengths", [(16, 5, 1), (9,), (1,)])
@torch.no_grad()
def test_ordered_pooling_joins_one_vector_after_another(count, lengths):
    pooling, (x, real) = ordered(count), random_input(*lengths)
    found, found_real = pooling(x, real)
    assert found.shape == (len(lengths), -(-max(lengths) // count), D_MODEL)
    share = pooling.narrow.out_features
    for row, length in enumerate(lengths):
        for number in range(found.shape[1]):
            expected = torch.zeros(D_MODEL)
            for place in range(count):
                position = number * count + place
                if position < length:
                    columns = pooling.join.weight[:, place * share : (place + 1) * share]
                    expected += columns @ (pooling.narrow.weight @ x[row, position])
            torch.testing.assert_close(found[row, number], expected, rtol=0, atol=1e-5)
            assert found_real[row, number] == (number * count < length)


@torch.no_grad()
def test_ordered_pooling_knows_the_order_within_a_run():
    pooling, (x, real) = ordered(4), random_input(12)
    swapped = x.clone()
    swapped[:, [5, 6]] = x[:, [6, 5]]
    before, after = pooling(x, real)[0], pooling(swapped, real)[0]
    changed = ((before - after).abs() > 1e-3).any(-1)[0]
    assert changed.tolist() == [False, True, False]


@torch.no_grad()
def test_what_is_pooled_keeps_its_size():
    pooling, (x, real) = ordered(8), random_input(800)
    assert pooling(x, real)[0].var() == pytest.approx(1, abs=0.2)


def attention_pooling():
    torch.manual_seed(1)
    pooling = AttentionPooling(D_MODEL)
    pooling.queries.data *= 3  # decided queries
    return pooling


@torch.no_grad()
def test_attention_pooling_is_a_weighted_mean_for_each_query():
    pooling, (x, real) = attention_pooling(), random_input(7, 3, 1)
    found = pooling(x, real)
    assert found.shape == (3, 1, D_MODEL)
    for row, length in enumerate(real.sum(1)):
        means = []
        for query in pooling.queries:
            weights = torch.stack([(query @ vector).exp() for vector in x[row, :length]])
            mean = (weights[:, None] * x[row, :length]).sum(0) / weights.sum()
            means.append(pooling.value.weight @ mean)
        torch.testing.assert_close(found[row, 0], pooling.join.weight @ torch.cat(means), rtol=0, atol=1e-5)


@torch.no_grad()
def test_attention_pooling_has_no_eye_for_padding():
    pooling, (x, real) = attention_pooling(), random_input(7, 3)
    loud = torch.where(real[..., None], x, 1e4)
    torch.testing.assert_close(pooling(loud, real), pooling(x, real))
    assert not torch.allclose(pooling(x, torch.ones_like(real)), pooling(x, real), atol=1e-3)


@torch.no_grad()
def test_a_row_of_padding_is_finite():
    x, _ = random_input(4)
    nothing = torch.zeros(1, 4, dtype=torch.bool)
    assert attention_pooling()(x, nothing).isfinite().all()
    pooled, real = ordered(2)(x, nothing)
    assert not pooled.any()
    assert not real.any()
