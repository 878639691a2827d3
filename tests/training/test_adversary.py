import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tests.support.training import latent_profile
from torch import nn

from aurl.loss.adversarial import deception, feature_distance
from aurl.loss.penalties import Penalties
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
