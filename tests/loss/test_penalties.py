import pytest
import torch
from torch import Tensor, nn

from aurl.loss.penalties import GRADIENT_PENALTY, R1, REGULARISED, Penalties, gradient_penalty, r1
from aurl.model.discriminator import Discriminator, Input

VIEWS = ("scale_8", "scale_16", "scale_32", "music", "latent")
TOKENS = torch.tensor([3, 1])


def an_input(name: str, x: Tensor, real: Tensor | None = None) -> Input:
    return Input(name, x, torch.ones(x.shape[:2], dtype=torch.bool) if real is None else real)


def linear(*weights: Tensor):
    """A discriminator whose parts are linear in what is real of their inputs."""

    def scores(inputs):
        return [(one.x * one.real[..., None] * w).sum((1, 2))[:, None] for one, w in zip(inputs, weights, strict=True)]

    return scores


def test_r1_of_linear_scores_is_their_squared_weights():
    """Two parts with |w|² of 25 and 4, over windows of 3 and 1 targets: their mean is 14.5."""
    one, other = torch.tensor([[3.0], [4.0]]), torch.tensor([[2.0, 0.0]])
    inputs = [an_input("a", torch.randn(2, 2, 1)), an_input("b", torch.randn(2, 1, 2))]
    assert r1(linear(one, other), inputs, TOKENS).item() == pytest.approx(4 * 14.5)


def test_the_gradient_penalty_of_linear_scores():
    """|w| of 5: (5 − 1)² in every place between; nothing for the window of which the part hears nothing."""
    real = torch.tensor([[True, True], [False, False]])
    inputs = [an_input("a", torch.randn(2, 2, 1), real)]
    scores = linear(torch.tensor([[3.0], [4.0]]))
    found = gradient_penalty(scores, inputs, inputs, TOKENS, torch.rand(2))
    assert found.item() == pytest.approx(3 * 16)


def test_it_is_asked_between_real_music_and_fakes():
    """Of score x²/2 the slope is x: here 0.25 · 8 + 0.75 · 4 = 5, and 8."""
    real, fake = an_input("a", torch.full((2, 1, 1), 8.0)), an_input("a", torch.full((2, 1, 1), 4.0))
    shares = torch.tensor([0.25, 1.0])
    found = gradient_penalty(lambda inputs: [(inputs[0].x.square() / 2).sum(1)], [real], [fake], TOKENS, shares)
    assert found.item() == pytest.approx(3 * 4.0**2 + 1 * 7.0**2)


def test_a_flat_discriminator_has_a_finite_gradient():
    weight = torch.zeros(2, 1, requires_grad=True)
    inputs = [an_input("a", torch.randn(2, 2, 1))]
    gradient_penalty(linear(weight), inputs, inputs, TOKENS, torch.rand(2)).backward()
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", [r1, gradient_penalty])
def test_gradients_with_respect_to_weights(kind):
    """Of a discriminator that is not linear, in float64, against finite differences."""
    torch.manual_seed(0)
    real, fake = (an_input("a", torch.randn(2, 3, 2, dtype=torch.float64)) for _ in range(2))
    first = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    second = torch.randn(4, 1, dtype=torch.float64, requires_grad=True)
    shares = torch.rand(2, dtype=torch.float64)

    def penalty(first, second):
        def scores(inputs):
            return [(torch.tanh(inputs[0].x @ first) @ second).sum(1)]

        return r1(scores, [real], TOKENS) if kind is r1 else gradient_penalty(scores, [real], [fake], TOKENS, shares)

    assert torch.autograd.gradcheck(penalty, (first, second))


def test_weights_and_laziness():
    """R1 is 25 and the other (5 − 1)², of 4 targets."""
    inputs, scores = [an_input("a", torch.randn(2, 2, 1))], linear(torch.tensor([[3.0], [4.0]]))
    both = Penalties(r1=0.5, r1_every=16, gradient_penalty=2.0)
    now, later = (both(scores, inputs, inputs, TOKENS, lazy=lazy) for lazy in (True, False))
    assert float(now.cost) == pytest.approx(4 * (0.5 * 16 * 25 + 2 * 16))
    assert float(later.cost) == pytest.approx(4 * 2 * 16)
    assert {name: float(part) for name, part in now.parts.items()} == pytest.approx(
        {R1: 100.0, REGULARISED: 4.0, GRADIENT_PENALTY: 64.0}
    )
    assert set(later.parts) == {GRADIENT_PENALTY}
    assert Penalties().any is False


@pytest.fixture
def real_one():
    """A discriminator that hears three scales, music and latents, and what its parts take of two windows."""
    torch.manual_seed(5)
    discriminator = Discriminator(8, scales=(8, 16, 32), d_model=16, n_layers=2, latent_size=4)
    ids, table = torch.randint(0, 700, (2, 128)), torch.randn(774, 8)
    real = torch.arange(128) < torch.tensor([128, 70])[:, None]
    locals_, heard = torch.randn(2, 4, 4), torch.tensor([[True] * 4, [True] * 3 + [False]])
    given = {"real": real, "locals_": locals_, "locals_real": heard}
    return discriminator, ids, table, given


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_inputs_lead_to_the_same_scores(real_one, stage):
    discriminator, ids, table, given = real_one
    inputs = discriminator.inputs(ids, table, stage=stage, **given)
    assert tuple(one.name for one in inputs) == VIEWS[: 5 if stage == 3 else stage]
    views = discriminator(ids, table, stage=stage, **given)
    for score, view in zip(discriminator.scores(inputs), views, strict=True):
        torch.testing.assert_close(score, view.score, rtol=1e-4, atol=1e-5)


def test_r1_is_the_slope_of_each_row_by_itself(real_one):
    discriminator, ids, table, given = real_one
    inputs = discriminator.inputs(ids, table, **given)
    expected = torch.zeros(2)
    for number, one in enumerate(inputs):
        for row in range(2):
            alone = one._replace(x=one.x[row : row + 1].clone().requires_grad_(), real=one.real[row : row + 1])
            discriminator.scores([alone])[0].backward()
            expected[row] += alone.x.grad.square().sum() / len(inputs)
        assert expected.all(), number
    torch.testing.assert_close(r1(discriminator.scores, inputs, TOKENS), (expected * TOKENS).sum(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("view", range(len(VIEWS)), ids=VIEWS)
@pytest.mark.parametrize("kind", [r1, gradient_penalty])
def test_bounded_weights_learn_from_the_slope(real_one, kind, view):
    """Along its own gradient, the penalty changes as fast as the gradient is long: through spectral norms and all.

    The slope jumps where a leaky ReLU turns, so the step must be small.
    """
    discriminator, ids, table, given = real_one
    one = discriminator.inputs(ids, table, **given)[view]
    other = discriminator.inputs(ids.flip(0), table, **given)[view]

    def penalty():
        if kind is r1:
            return r1(discriminator.scores, [one], TOKENS)
        return gradient_penalty(discriminator.scores, [one], [other], TOKENS, torch.tensor([0.3, 0.6]))

    weights = [weight for name, weight in discriminator.named_parameters() if name.endswith("original")]
    gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)
    known = [(w, g) for w, g in zip(weights, gradients, strict=True) if g is not None]
    length = torch.sqrt(sum(g.square().sum() for _, g in known))
    assert length > 0
    step, found = 3e-4, []
    for amount in (step, -2 * step):
        for w, g in known:
            w.data.add_(g, alpha=amount / length.item())
        found.append(penalty().item())
    assert (found[0] - found[1]) / (2 * step) == pytest.approx(length.item(), rel=0.1)


def test_no_bias_is_forgotten_by_what_is_not_sloped():
    """Biases of a linear layer have no part in its slope: that is no error, and they get no gradient."""
    layer = nn.Linear(2, 1)
    r1(lambda inputs: [layer(inputs[0].x).sum(1)], [an_input("a", torch.randn(2, 3, 2))], TOKENS).backward()
    assert layer.bias.grad is None
    assert layer.weight.grad.abs().sum() > 0
