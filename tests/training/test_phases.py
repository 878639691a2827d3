import pytest

from aurl.profile import load_profile
from aurl.training.phases import Phase, fall, has_settled, kl_schedule, phase_at, progress, stage_at


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.5), (0.2, 0.4), (0.8, 0.1), (1.0, 0.1)])
def test_word_dropout_falls_in_a_straight_line(done, share):
    assert fall(done, first=0.5, last=0.1, full=0.8) == pytest.approx(share)


@pytest.mark.parametrize(
    ("done", "stage"), [(0.0, 0), (0.499, 0), (0.5, 1), (0.69, 1), (0.71, 2), (0.89, 2), (0.91, 3), (1.0, 3)]
)
def test_stages_are_shares_of_what_follows_the_start(done, stage):
    assert stage_at(done, start=0.5, stages=(0.0, 0.4, 0.8)) == stage


def test_progress_ends_with_the_horizon():
    assert [progress(step, 200) for step in (0, 50, 200, 300)] == [0.0, 0.25, 1.0, 1.0]


GENERATOR = (
    "loss.beta=0.5",
    "loss.kl_schedule={kind='exponential', start=0.01, hold=0.2, full=0.6}",
    "latent.word_dropout=0.6",
    "latent.word_dropout_end=0.0",
    "latent.word_dropout_until=0.6",
)
DISCRIMINATOR = ("discriminator.start=0.4", "discriminator.lr=1e-3")
RATES = (
    "training.warmup_steps=5",
    "training.min_lr_ratio=0.0",
    "training.schedule={kind='stable_decay', decay_share=0.5}",
)


def profile(mode, *overrides):
    """A course that is easy to follow by hand."""
    own = {"transformer": (), "vae": GENERATOR, "vae_gan": GENERATOR + DISCRIMINATOR}[mode]
    return load_profile(overrides=[f"model.mode={mode}", *own, *RATES, *overrides], check=())


def at(profile, step):
    return phase_at(profile, step, 100, kl_schedule(profile))


def test_a_phase_by_hand():
    """Of 100 steps: the discriminator joins at 40 and warms up over 5; its rate falls in the rest's latter half."""
    found = at(profile("vae_gan"), 40)
    assert (found.beta, found.word_dropout) == pytest.approx((0.05, 0.2))
    assert (found.stage, found.discriminator_lr) == (1, pytest.approx(1e-3 / 5))
    rates = {step: at(profile("vae_gan"), step).discriminator_lr for step in (44, 45, 72, 86, 100)}
    expected = {44: 1e-3, 45: 1e-3, 72: 1e-3, 86: 1e-3 * (14 / 55) / 0.5, 100: 0.0}
    assert rates == pytest.approx(expected)


def test_only_vae_gan_has_a_discriminator():
    assert at(profile("vae"), 100) == Phase(0.5, 0.0)
    before = at(profile("vae_gan"), 39)
    assert (before.stage, before.discriminator_lr) == (0, 0.0)


def test_beta_has_settled_at_the_end_of_its_rise():
    schedule = kl_schedule(profile("vae"))
    assert [has_settled(schedule, step, 100) for step in (0, 59, 60, 100)] == [False, False, True, True]
    assert has_settled(kl_schedule(profile("vae", "loss.kl_schedule={kind='constant'}")), 0, 100)


def test_without_latents_nothing_waits_for_beta():
    shared = load_profile(["vae"], [GENERATOR[1]], flags={"model.mode": "transformer"}, check=())
    assert has_settled(kl_schedule(shared), 0, 100)


def test_what_latents_tell_by_themselves_fades():
    hints = profile("vae", "loss.bag=0.4", "loss.echo=0.2", "loss.hints_end=0.5")
    assert at(hints, 0).bag == 0.4
    assert at(hints, 25).echo == pytest.approx(0.1)
    assert (at(hints, 60).bag, at(hints, 60).echo) == (0.0, 0.0)
