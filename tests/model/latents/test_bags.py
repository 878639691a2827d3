import torch

from aurl.model.latents import Level
from aurl.model.latents.bags import BagsOfIds


@torch.no_grad()
def test_each_level_has_its_own_linear_reading():
    levels = (Level("global", 16), Level("fine", 17, 8))
    torch.manual_seed(0)
    bags = BagsOfIds(levels, 30)
    latents = {"global": torch.randn(2, 1, 16), "fine": torch.randn(2, 5, 17)}
    found = bags(latents)
    assert found.keys() == latents.keys()
    for name, z in latents.items():
        expected = torch.einsum("bns,vs->bnv", z, bags.of[name].weight) + bags.of[name].bias
        torch.testing.assert_close(found[name], expected)
