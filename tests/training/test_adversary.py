import json

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tests.support.training import latent_profile
from torch import nn
from torch.amp import GradScaler

from aurl.loss.adversarial import deception, feature_distance
from aurl.loss.penalties import Penalties, r1
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.model.build import build_discriminator, build_model
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS, NOTE_ON, PAD
from aurl.training.adversary import Adversary, discriminator_optimizer, frozen
from aurl.training.batches import Batch
from aurl.training.stabiliser import Stabiliser


def batch() -> Batch:
    """Two windows of 48 targets, the second shorter."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(NOTE_ON.start, NOTE_ON.stop, (2, 49), generator=generator)
    ids[:, 0] = BOS
    ids[1, 30:] = PAD
    nothing = torch.zeros(2, dtype=torch.int64)
    return Batch.of({"ids": ids, "start_steps": nothing, "context": nothing})


ALWAYS = {"warm_start": 0, "skip_above": 1.0, "skip_below": 0.0, "measure_every": 1, "harm": 0.0, "r1_every": 2}
NONE = Penalties()


def an_adversary(accelerator, plain, stage=3, *, penalties=NONE, scaler=None, **balance) -> Adversary:
    """With every turn for both sides, unless `balance` says otherwise."""
    stabiliser = Stabiliser(**{**ALWAYS, "weight_cap": 0.0, **balance})
    optimizer, weights = discriminator_optimizer(plain, 1e-3), {"adversarial": 0.3, "feature_matching": 0.1}
    return Adversary(accelerator, plain, plain, optimizer, stabiliser, weights, penalties, scaler, stage)


@pytest.fixture(params=[1, 3])
def played(request):
    """(adversary, generator, batch, what the generator made of it), at a stage."""
    torch.manual_seed(2)
    profile = latent_profile("vae_gan", model__dropout=0.0)
    generator = build_model(profile, Codec())
    for parameter in generator.decoder.hearing.parameters():
        nn.init.normal_(parameter, std=0.1)  # they begin at zero, and would pass no gradient on
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)
    one = batch()
    latent = generator(one.inputs, start_steps=one.start_steps, following=one.following)
    return an_adversary(accelerator, build_discriminator(profile, generator), request.param), generator, one, latent


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


def test_each_side_learns_from_its_own_loss_only(played):
    adversary, generator, one, latent = played
    parts, heard = adversary.judge(generator, one, latent, scale=0.5)
    own = gradients(adversary.plain)
    assert own
    assert not gradients(generator)
    (deception(heard.fake, heard.tokens) + feature_distance(heard.real, heard.fake, heard.tokens)).backward()
    assert all(torch.equal(gradient, own[name]) for name, gradient in gradients(adversary.plain).items())
    found = gradients(generator)
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert {name.partition(".")[0] for name in found} >= {"embedding", "decoder", "latent_stream", "encoder"}
    assert found["decoder.blocks.0.attention.qkv.weight"].abs().sum() > 0
    assert not any(part.requires_grad for part in parts.values())
    assert heard.tokens.tolist() == [48, 29]


def test_the_stage_says_what_is_heard(played):
    adversary, generator, one, latent = played
    _, heard = adversary.judge(generator, one, latent, scale=1.0)
    names = {1: ["scale_8"], 3: ["scale_8", "scale_16", "scale_32", "music", "latent"]}[adversary.stage]
    assert [view.name for view in heard.fake] == [view.name for view in heard.real] == names
    trained = {name.split(".")[1 if name.startswith("scales") else 0] for name in gradients(adversary.plain)}
    assert trained == set(names)


def test_it_learns_to_tell_them_apart(played):
    """Notes against what an untrained model makes up."""
    adversary, generator, one, _ = played
    losses = []
    for _ in range(20):
        with torch.no_grad():
            latent = generator(one.inputs, start_steps=one.start_steps, following=one.following)
        parts, _ = adversary.judge(generator, one, latent, scale=1.0)
        adversary.step(sound=True)
        losses.append(parts["discriminator"].item() / 77)
    assert adversary.stabiliser.history[-1].discriminator == pytest.approx(losses[-1])
    assert losses[-1] < min(losses[0], 2.0) - 0.2  # 2: both hinges where it knows nothing


@pytest.mark.parametrize("played", [3], indirect=True)  # before, nothing is encoded
def test_the_encoder_hears_for_the_discriminator_but_does_not_learn_from_it(played):
    adversary, generator, one, latent = played
    detached = latent._replace(logits=latent.logits.detach().requires_grad_())
    _, heard = adversary.judge(generator, one, detached, scale=1.0)
    heard.fake[-1].score.sum().backward()
    assert heard.fake[-1].name == "latent"
    assert detached.logits.grad.abs().sum() > 0
    assert not gradients(generator)


def test_frozen_passes_gradients_on_and_is_undone():
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    x = torch.ones(1, 2, requires_grad=True)
    with frozen(layer):
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None
    assert [parameter.requires_grad for parameter in layer.parameters()] == [True, False]


def whole(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in module.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_side_whose_turn_it_is_not_neither_learns_nor_hears(played):
    adversary, generator, one, latent = played
    adversary.stabiliser = Stabiliser(**{**ALWAYS, "weight_cap": 1.0, "skip_above": 0.0, "skip_below": 0.0})
    adversary.judge(generator, one, latent, scale=1.0)
    adversary.step(sound=True)  # it is right now and then, so that from now on it wins
    before = whole(adversary.plain)
    parts, heard = adversary.judge(generator, one, latent, scale=1.0)
    assert not gradients(adversary.plain)
    adversary.step(sound=True)
    assert same(before, whole(adversary.plain))
    assert heard is not None
    assert {"discriminator", "heard", "judged_scale_8"} <= set(parts)

    adversary.stabiliser = Stabiliser(**{**ALWAYS, "weight_cap": 1.0, "warm_start": 1})
    parts, heard = adversary.judge(generator, one, latent, scale=1.0)
    assert heard is None
    assert gradients(adversary.plain)
    adversary.step(sound=True)
    assert not same(before, whole(adversary.plain))
    assert {"discriminator", "judged"} <= set(parts)
    assert "heard" not in parts


def test_an_update_that_is_not_sound_leaves_nothing_behind(played):
    adversary, generator, one, latent = played
    before, state = whole(adversary.plain), adversary.stabiliser.state_dict()
    adversary.judge(generator, one, latent, scale=1.0)
    adversary.step(sound=False)
    assert same(before, whole(adversary.plain))
    assert not gradients(adversary.plain)
    assert adversary.stabiliser.state_dict() == state
    adversary.judge(generator, one, latent, scale=1.0)
    adversary.step(sound=True)
    assert adversary.stabiliser.history[-1].adversarial is not None


def test_the_balance_is_of_the_gradients_at_the_last_layer(played):
    adversary, generator, one, latent = played
    adversary.stabiliser = Stabiliser(**{**ALWAYS, "weight_cap": 1e9})
    _, heard = adversary.judge(generator, one, latent, scale=1.0)
    layer = generator.decoder.blocks[-1].feed_forward.down.weight
    lengths = []
    told = 0.75 * deception(heard.fake, heard.tokens) + 0.25 * feature_distance(heard.real, heard.fake, heard.tokens)
    for cost in (cross_entropy_sum(latent.logits, one.targets), told):
        (gradient,) = torch.autograd.grad(cost, layer, retain_graph=True)
        lengths.append(gradient.norm().item())
    assert adversary.weights_now == {"adversarial": 0.0, "feature_matching": 0.0}
    adversary.step(sound=True)
    assert adversary.stabiliser.factor == pytest.approx(lengths[0] / lengths[1], rel=1e-4)
    assert adversary.weights_now["adversarial"] == pytest.approx(0.3 * lengths[0] / lengths[1], rel=1e-4)


def test_penalties_reach_the_discriminator_now_and_then(played):
    adversary, generator, one, latent = played
    adversary.penalties = Penalties(r1=0.5, r1_every=2, gradient_penalty=0.1)
    told = []
    for _ in range(4):
        parts, _ = adversary.judge(generator, one, latent, scale=1.0)
        assert all(gradient.isfinite().all() for gradient in gradients(adversary.plain).values())
        adversary.step(sound=True)
        told.append(parts)
    assert ["r1" in parts for parts in told] == [True, False, True, False]
    assert [parts.get("regularised", 0) for parts in told] == [77, 0, 77, 0]
    assert all(parts["gradient_penalty"] > 0 for parts in told)


def test_the_penalty_is_in_the_gradient(played):
    """With R1 and without it: the difference is the gradient of R1 by itself.

    An orthogonal matrix has its norm in all directions, and the gradient of that norm is whichever was found.
    """
    adversary, generator, one, latent = played
    for name, weight in adversary.plain.named_parameters():
        if name.endswith("original"):
            nn.init.normal_(weight)
    found = []
    for weight in (0.0, 0.5):
        adversary.penalties = Penalties(r1=weight, r1_every=2)
        torch.manual_seed(3)
        adversary.judge(generator, one, latent, scale=2.0)
        found.append(gradients(adversary.plain))
        adversary.step(sound=False)
    table = generator.embedding.tables().ids.detach()
    posterior = latent.posteriors["local"]
    given = {"real": one.following != PAD, "locals_": posterior.mean, "locals_real": posterior.real}
    inputs = adversary.plain.inputs(one.following, table, stage=adversary.stage, **given)
    (2.0 * 0.5 * 2 * r1(adversary.plain.scores, inputs, torch.tensor([48, 29]))).backward()
    alone = gradients(adversary.plain)
    assert alone
    for name, gradient in alone.items():
        torch.testing.assert_close(found[1][name] - found[0][name], gradient, rtol=1e-3, atol=1e-4)


def test_half_precision_has_a_scale_of_its_own(played):
    """Steps are those without a scale; one whose gradient overflows is left out, and the scale becomes smaller."""
    adversary, generator, one, latent = played
    plain, start = adversary.plain, {name: x.clone() for name, x in adversary.plain.state_dict().items()}
    ends = []
    for scaler in (None, GradScaler("cpu", init_scale=2.0**10)):
        plain.load_state_dict(start)
        adversary = an_adversary(adversary.accelerator, plain, adversary.stage, scaler=scaler)
        for _ in range(3):
            torch.manual_seed(4)
            adversary.judge(generator, one, latent, scale=1.0)
            adversary.step(sound=True)
        ends.append(whole(plain))
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=1e-4, atol=1e-6)
    assert not same(ends[0], {name: start[name] for name in ends[0]})
    assert set(adversary.memory) == {"stabiliser", "discriminator_scale"}

    adversary.judge(generator, one, latent, scale=1e38)
    adversary.step(sound=True)
    assert same(ends[1], whole(plain))
    state = json.loads(json.dumps(adversary.memory["discriminator_scale"].state_dict()))
    assert state["scale"] == 2.0**9
    fresh = an_adversary(adversary.accelerator, plain, scaler=GradScaler("cpu"))
    fresh.memory["discriminator_scale"].load_state_dict(state)
    assert fresh.scaler.get_scale() == 2.0**9
