"""Every profile that comes with the package, in every mode, takes two steps of training."""

from dataclasses import replace

import pytest
import torch

from aurl.loss.reconstruction import Counts
from aurl.profile import ProfileError, list_profiles, load_profile
from aurl.profile.load import at_stage
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS, NOTE_ON, SEP, TIME_SHIFT, VELOCITY
from aurl.training.acceleration import start_accelerator
from aurl.training.batches import Batch, batch_counts
from aurl.training.learner import build_learner
from aurl.training.optim import set_learning_rate
from aurl.training.phases import phase_at
from aurl.training.steps import Sums, update

MODES = ("transformer", "vae", "vae_gan")
QUICK = (
    ("tiny",),
    ("tiny", "controls"),
    ("tiny", "dev"),
    ("tiny", "prod"),
    ("tiny", "faithful"),
    ("tiny", "course"),
    ("demo",),
    ("small",),
)
LONG = (("base",), ("large", 'training.optimizer={kind="adamw"}', "training.ema_decay=0"))
"""With what takes no minutes on a CPU."""
EVEN = "head.bias"
"""While real and generated music are both nearer than the margins, raising all scores alike changes no hinge loss."""
WINDOWS, LENGTH = 2, 256
"""Two local latents in each of two windows."""


def music(seed):
    """Notes at random, one after another."""
    generator = torch.Generator().manual_seed(seed)
    count = WINDOWS * (LENGTH // 4 + 1)
    groups = [(VELOCITY.start, 6), (NOTE_ON.start, 128), (TIME_SHIFT.start, 64)]
    events = torch.stack([first + torch.randint(size, (count,), generator=generator) for first, size in groups], 1)
    notes = torch.cat([events, events[:, 1:2] + 128], 1)  # each is ended after its time
    ids = torch.cat([torch.tensor([BOS, SEP]).expand(WINDOWS, 2), notes.reshape(WINDOWS, -1)], 1)[:, : LENGTH + 1]
    targets = ids[:, 1:]
    return Batch(ids[:, :-1], targets, targets, torch.zeros(WINDOWS, dtype=torch.int64), Counts.of(targets))


def learner_of(mode, names, stage=0):
    files = [name for name in names if "=" not in name]
    overrides = [name for name in names if "=" in name]
    profile = load_profile([mode, *files], [*overrides, "training.precision=fp32", "training.accumulation=1"])
    profile = at_stage(profile, stage)
    accelerator, processes = start_accelerator(profile, device="cpu")
    codec = Codec(time_base=profile.tokens.time_base, parts=profile.tokens.parts, header=profile.tokens.header)
    learner = build_learner(profile, codec, accelerator, None)
    learner.plain.train()
    set_learning_rate(learner.optimizer, profile.training.lr / profile.training.warmup_steps)
    phase = phase_at(profile, 500, 1000, learner.kl_schedule)  # beta may be 0 at first
    learner.enter(replace(phase, stage=3, discriminator_lr=profile.discriminator.lr) if mode == "vae_gan" else phase)
    return learner, processes


def take_two_steps(mode, names, stage=0):
    learner, processes = learner_of(mode, names, stage)
    modules = {"generator": learner.plain} | ({"discriminator": learner.adversary.plain} if learner.adversary else {})
    trained = {
        f"{name}.{key}": p
        for name, module in modules.items()
        for key, p in module.named_parameters()
        if p.requires_grad
    }
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    heard = set()
    hooks = [p.register_hook(lambda grad, name=name: note(heard, name, grad)) for name, p in trained.items()]
    sums = Sums.on(torch.device("cpu"))
    for step in range(2):
        batch = music(step)
        update(learner, [batch], batch_counts([batch]), processes, sums)
    for hook in hooks:
        hook.remove()
    return sums.window(), trained, before, heard


def note(heard, name, grad):
    if grad.any():
        heard.add(name)


def check(mode, names, stage=0):
    window, trained, before, heard = take_two_steps(mode, names, stage)
    assert window.tokens == 2 * WINDOWS * LENGTH
    assert torch.tensor([window.loss, window.nats, window.gradient_norm, *window.parts.values()]).isfinite().all()
    assert 3 < window.nats / window.tokens < 15  # wide ones at first expect every id to come again: tables are shared
    learning = {name for name in trained if not name.endswith(EVEN)}
    assert sorted(learning - heard) == []
    assert [name for name in learning if torch.equal(trained[name], before[name])] == []


def test_every_packaged_profile_is_named_here():
    named = {name for names in (*QUICK, *LONG) for name in names if "=" not in name}
    assert named | set(MODES) == {listed.name for listed in list_profiles() if listed.packaged}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("names", QUICK, ids="+".join)
def test_two_steps_teach_every_weight(mode, names):
    check(mode, names)


@pytest.mark.parametrize("stage", [1, 2])
def test_so_do_two_steps_of_each_stage(stage):
    check("vae", ("tiny", "course"), stage)


@pytest.mark.slow
@pytest.mark.parametrize("names", LONG, ids=lambda names: names[0])
def test_two_steps_of_a_large_model_teach_every_weight(names):
    """In the mode that has all parts of the others."""
    check("vae_gan", names)


def test_faithful_alone_is_no_silent_transformer():
    with pytest.raises(ProfileError, match=r"loss\.beta: has no effect in mode transformer \(packaged faithful\)"):
        load_profile(["faithful", "small"])
    for names in (["vae", "faithful"], ["faithful", "vae_gan", "small"]):
        assert load_profile(names).loss.beta == 0.1
