"""Each part learns to tell music from the same ids in disorder, and what it has learned can be climbed."""

import pytest
import torch

from aurl.model.discriminator import Discriminator, straight_through
from aurl.tokens.vocabulary import NOTE_OFF, TIME_SHIFT, VELOCITY

VOCABULARY, D_EMBEDDING, LATENT_SIZE, LENGTH, ROWS = 779, 32, 16, 128, 16
SCALE_STEPS = torch.tensor([0, 2, 4, 5, 7, 9, 11])
RHYTHMS = torch.tensor([[32, 32, 32, 32], [16, 16, 32, 64], [48, 16, 48, 16], [64, 32, 16, 16]])
PARTS = ["scale_32", "scale_64", "music", "latent"]


def music(rows, generator):
    """Walks on a major scale in one of four rhythms, each note held to the next, the first of a bar accented."""
    notes = LENGTH // 4
    steps = torch.randint(-2, 3, (rows, notes), generator=generator)
    degree = steps.cumsum(1) % 14
    key = torch.randint(55, 65, (rows, 1), generator=generator)
    pitch = key + degree // 7 * 12 + SCALE_STEPS[degree % 7]
    rhythm = RHYTHMS[torch.randint(len(RHYTHMS), (rows,), generator=generator)].repeat(1, notes // 4)
    accent = torch.tensor([4, 2, 3, 2]).repeat(notes // 4).expand(rows, -1)
    ids = [VELOCITY.start + accent, pitch, TIME_SHIFT.start + rhythm - 1, NOTE_OFF.start + pitch]
    return torch.stack(ids, -1).flatten(1)


def disorder(ids, generator):
    return ids.gather(1, torch.rand(ids.shape, generator=generator).argsort(1))


def waves(rows, generator):
    """Latents of which each is near the one before."""
    noise = torch.randn(rows, 12, LATENT_SIZE, generator=generator)
    walk = [noise[:, 0]]
    for step in range(1, 12):
        walk.append(0.9 * walk[-1] + 0.19**0.5 * noise[:, step])
    return torch.stack(walk, 1)


def table():
    return torch.randn(VOCABULARY, D_EMBEDDING, generator=torch.Generator().manual_seed(7))


def hear(discriminator, ids, latents):
    real = torch.ones(ids.shape[:2], dtype=torch.bool)
    return {view.name: view for view in discriminator(ids, table(), real=real, locals_=latents)}


def real_and_fake(generator):
    ids, latents = music(ROWS, generator), waves(ROWS, generator)
    order = torch.randperm(12, generator=generator)
    return (ids, latents), (disorder(music(ROWS, generator), generator), latents[:, order])


@pytest.fixture(scope="module")
def taught():
    """A discriminator after 120 steps of hinge loss on all parts."""
    torch.manual_seed(0)
    options = {"scales": (32, 64), "d_model": 32, "n_layers": 2, "latent_size": LATENT_SIZE}
    discriminator, generator = Discriminator(D_EMBEDDING, **options), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.9))
    for _ in range(120):
        music_heard, fake_heard = (hear(discriminator, *x) for x in real_and_fake(generator))
        loss = sum((1 - view.score).relu().mean() for view in music_heard.values())
        loss = loss + sum((1 + view.score).relu().mean() for view in fake_heard.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return discriminator.eval().requires_grad_(requires_grad=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_each_part_tells_music_from_disorder(taught, name):
    generator, right = torch.Generator().manual_seed(2), []
    for _ in range(6):
        real, fake = (hear(taught, *x)[name].score for x in real_and_fake(generator))
        right += [real > 0, fake < 0]
    assert torch.cat(right).float().mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scale_32", "scale_64", "music"])
def test_gradients_through_sampled_ids_lead_to_what_sounds_more_real(taught, name):
    generator = torch.Generator().manual_seed(3)
    start = disorder(music(4, generator), generator)
    logits = (8 * torch.nn.functional.one_hot(start, VOCABULARY).float()).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.4)

    def score():
        return hear(taught, straight_through(logits, generator=generator), None)[name].score.mean()

    before = torch.stack([score().detach() for _ in range(8)]).mean()
    for _ in range(40):
        optimizer.zero_grad()
        (-score()).backward()
        optimizer.step()
    after = torch.stack([score().detach() for _ in range(8)]).mean()
    assert after > before + 1
