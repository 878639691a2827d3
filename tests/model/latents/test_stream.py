import pytest
import torch

from aurl.model.latents import Level
from aurl.model.latents.stream import LatentStream

SIZE = 12
GLOBAL, LOCAL, FINE = Level("global", 16), Level("local", 20, 16), Level("fine", 18, 4)
COMBINATIONS = [(GLOBAL, LOCAL, FINE), (GLOBAL, FINE), (GLOBAL, LOCAL), (GLOBAL,)]
names = {"ids": lambda levels: "+".join(level.name for level in levels)}


def build(levels):
    torch.manual_seed(0)
    return LatentStream(levels, SIZE)


def random_latents(levels, length, *, batch=3):
    generator = torch.Generator().manual_seed(1)
    return {level.name: torch.randn(batch, level.count(length), level.size, generator=generator) for level in levels}


def said(stream, levels, latents, row, position):
    """What each level says at one position: its weights for the place within the segment, times its latent there."""
    for number, level in enumerate(levels):
        below = levels[number + 1].tokens if number + 1 < len(levels) else 1
        place = position % level.tokens // below if level.tokens else 0
        latent = latents[level.name][row, position // level.tokens if level.tokens else 0]
        yield level.name, stream.unfold[level.name].weight[place * SIZE : (place + 1) * SIZE] @ latent


@pytest.mark.parametrize("levels", COMBINATIONS, **names)
@pytest.mark.parametrize("positions", [range(50), [0], [49, 3, 16], range(17, 40)])
@torch.no_grad()
def test_each_position_hears_every_level_at_its_place(levels, positions):
    stream, latents = build(levels), random_latents(levels, 50)
    found = stream(latents, torch.tensor(list(positions)))
    assert found.shape == (3, len(positions), SIZE)
    for row in range(3):
        for column, position in enumerate(positions):
            expected = sum(part for _, part in said(stream, levels, latents, row, position))
            torch.testing.assert_close(found[row, column], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("levels", COMBINATIONS, **names)
@torch.no_grad()
def test_rows_can_be_spared_a_level(levels):
    stream, latents = build(levels), random_latents(levels, 40)
    kept = {level.name: torch.tensor([True, number > 0, False]) for number, level in enumerate(levels)}
    found = stream(latents, torch.arange(40), kept)
    for row in range(3):
        for position in (0, 7, 39):
            parts = said(stream, levels, latents, row, position)
            expected = sum((part for name, part in parts if kept[name][row]), torch.zeros(SIZE))
            torch.testing.assert_close(found[row, position], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_is_said_does_not_depend_on_what_else_is_asked():
    levels = COMBINATIONS[0]
    stream, latents = build(levels), random_latents(levels, 5000)
    far = stream(latents, torch.arange(4990, 5000))
    cut = {"global": latents["global"], "local": latents["local"][:, 311:], "fine": latents["fine"][:, 1244:]}
    torch.testing.assert_close(stream(cut, torch.arange(14, 24)), far)


@torch.no_grad()
def test_a_latent_says_something_else_at_each_place():
    levels = COMBINATIONS[0]
    latents = random_latents(levels, 16)
    told = build(levels)(latents, torch.arange(16))[0]
    assert torch.cdist(told, told).fill_diagonal_(1).min() > 0.1


@pytest.mark.parametrize("levels", COMBINATIONS, **names)
@torch.no_grad()
def test_all_levels_together_have_the_size_of_one(levels):
    latents = random_latents(levels, 64, batch=50)
    torch.manual_seed(0)
    told = LatentStream(levels, 64)(latents, torch.arange(64))
    assert told.var() == pytest.approx(1, abs=0.2)
