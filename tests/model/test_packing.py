"""What packed layers multiply, by either entry of torch, and which are left as they are."""

import pytest
import torch
from torch import nn

from aurl.model.packing import DIRECT, LARGEST, PackedLinear, can_pack, pack_linears


@pytest.fixture(params=[True, False], ids=["direct", "dispatched"])
def _entry(request, monkeypatch):
    """With the entry of torch that costs less, and once it is gone."""
    if not request.param:
        monkeypatch.delattr(torch, DIRECT)


@pytest.mark.usefixtures("_entry")
@pytest.mark.parametrize("shape", [(1, 48), (5, 48), (2, 7, 48)])
def test_sums_are_of_weights_in_fp16_and_inputs_in_fp32(shape):
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(96, 48, generator=generator), torch.randn(shape, generator=generator)
    expected = x.double() @ weight.half().double().T
    torch.testing.assert_close(PackedLinear(weight)(x).double(), expected, rtol=0, atol=2e-5)


def test_both_entries_give_the_same_numbers(monkeypatch):
    weight, x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(1))
    direct = PackedLinear(weight)(x)
    monkeypatch.delattr(torch, DIRECT)
    assert torch.equal(PackedLinear(weight)(x), direct)


def test_what_fp16_cannot_hold_is_not_packed():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False), nn.Linear(8, 8))
    with torch.no_grad():
        model[1].weight[3, 4] = 2 * LARGEST
    assert not can_pack(model[1].weight)
    assert not can_pack(model[0].weight.double())
    packed = pack_linears(model)
    assert [type(layer) for layer in packed] == [PackedLinear, nn.Linear, nn.Linear]


def test_a_torch_that_wants_a_bias_is_given_one(monkeypatch):
    weight, x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(1))
    entry, expected = getattr(torch, DIRECT), PackedLinear(weight)(x)

    def demanding(x, packed_weight, bias):
        if bias is None:
            raise TypeError("argument 'bias' must be Tensor, not NoneType")
        return entry(x, packed_weight, bias)

    monkeypatch.setattr(torch, DIRECT, demanding)
    assert torch.equal(PackedLinear(weight)(x), expected)
