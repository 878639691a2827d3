import pytest
import torch

from aurl.loss.adversarial import Music, deception, deception_of_each, discriminator_loss, feature_distance
from aurl.model.discriminator import Discriminator, View, straight_through

VOCABULARY = 774


def view(name, scores, *features):
    return View(name, torch.tensor(scores)[:, None], tuple(map(torch.tensor, features)))


def one_hots(ids):
    return torch.nn.functional.one_hot(ids, 8).float()


def test_hinge_by_hand():
    """Two windows of 1 and 3 targets. Real scores 2 and 0.5, fake ones −0.5 and 1: 0 + 0.5 and 0.5 + 2."""
    ids = torch.zeros(2, 4, dtype=torch.int64)
    heard = []

    def listen(music):
        heard.append(music)
        return [view("scale_32", [2.0, 0.5, -0.5, 1.0], [[0.0]] * 4)]

    real = Music(ids, ids == 0)
    verdict = discriminator_loss(listen, real, Music(one_hots(ids + 1), ids == 0), torch.tensor([1, 3]))
    assert verdict.loss.item() == 1 * (0 + 0.5) + 3 * (0.5 + 2)
    assert verdict.correct.item() == 1 * 1 + 3 * 0.5
    assert verdict.real[0].score.tolist() == [[2.0], [0.5]]
    (music,) = heard
    assert music.ids[:, 0].tolist() == [0, 0, 1, 1]
    assert music.locals_ is None


def test_views_count_alike():
    ids = torch.zeros(1, 4, dtype=torch.int64)
    views = [view("a", [0.0, 0.0], [[0.0]] * 2), view("b", [3.0, -3.0], [[0.0]] * 2)]
    real, fake = Music(ids, ids == 0), Music(one_hots(ids), ids == 0)
    verdict = discriminator_loss(lambda music: views, real, fake, torch.ones(1))
    assert verdict.loss.item() == (2 + 0) / 2
    assert {name: part.item() for name, part in verdict.parts.items()} == {"a": 2.0, "b": 0.0}
    doubted = [view("a", [0.5]), view("b", [-2.0])]
    assert deception(doubted, torch.tensor([4])).item() == 4 * (-0.5 + 2.0) / 2
    found = deception_of_each(doubted, torch.tensor([4]))
    assert {name: part.item() for name, part in found.items()} == {"a": -2.0, "b": 8.0}


def test_feature_distance_by_hand():
    """Layers: mean differences 1 and 3 (window 0), 0 and 2 (window 1, of which a layer holds two rows each)."""
    real = [view("a", [0.0, 0.0], [[1.0, 1.0], [5.0, 5.0]], [[0.0], [0.0], [0.0], [0.0]])]
    fake = [view("a", [0.0, 0.0], [[2.0, 0.0], [5.0, 5.0]], [[2.0], [4.0], [-1.0], [3.0]])]
    assert feature_distance(real, fake, torch.tensor([10, 1])).item() == 10 * (1 + 3) / 2 + 1 * (0 + 2) / 2


@pytest.fixture
def players():
    torch.manual_seed(3)
    discriminator = Discriminator(8, d_model=16, n_layers=2, latent_size=16)
    table = torch.randn(VOCABULARY, 8, requires_grad=True)
    logits = torch.randn(3, 64, VOCABULARY, requires_grad=True)
    ids = torch.randint(0, 256, (3, 64))
    real = torch.arange(64) < torch.tensor([64, 40, 64])[:, None]
    locals_ = torch.randn(3, 2, 16, requires_grad=True)
    heard = torch.tensor([[True, True], [True, False], [True, True]])

    def listen(music):
        return discriminator(music.ids, table, real=music.real, locals_=music.locals_, locals_real=music.locals_real)

    return discriminator, listen, logits, table, Music(ids, real, locals_, heard)


def test_the_discriminators_loss_reaches_nothing_but_the_discriminator(players):
    discriminator, listen, logits, table, real = players
    fake = Music(straight_through(logits), real.real, real.locals_ + 1, real.locals_real)
    verdict = discriminator_loss(listen, real, fake, real.real.sum(1))
    verdict.loss.backward()
    assert [logits.grad, table.grad, real.locals_.grad] == [None] * 3
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
    assert not any(layer.requires_grad for one in verdict.real for layer in (one.score, *one.features))
    assert 0 <= verdict.correct.item() <= real.real.sum().item()


def test_the_generators_losses_reach_the_logits_and_the_latents(players):
    _, listen, logits, _, real = players
    fake = Music(straight_through(logits), real.real, real.locals_ * 1.0, real.locals_real)
    tokens = real.real.sum(1)
    verdict, views = discriminator_loss(listen, real, fake, tokens), listen(fake)
    (deception(views, tokens) + feature_distance(verdict.real, views, tokens)).backward()
    assert logits.grad[real.real].abs().sum() > 0
    assert logits.grad[~real.real].abs().sum() == 0
    assert real.locals_.grad.abs().sum() > 0


def test_batches_add_up(players):
    """All windows at once, or one by one: the same sum (rows of a batch never meet)."""
    discriminator, listen, logits, _, real = players
    discriminator.eval()  # the power iteration of the spectral norm goes on in training
    one_hots = straight_through(logits).detach()
    tokens = real.real.sum(1)

    def losses(rows):
        some = Music(*(None if part is None else part[rows] for part in real))
        fake = some._replace(ids=one_hots[rows])
        verdict = discriminator_loss(listen, some, fake, tokens[rows])
        views = listen(fake)
        other = deception(views, tokens[rows]), feature_distance(verdict.real, views, tokens[rows])
        return torch.stack([verdict.loss, verdict.correct, *other]).detach()

    whole, parts = losses(slice(None)), sum(losses([row]) for row in range(3))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)
