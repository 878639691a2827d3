import pytest

from aurl.profile import load_profile
from aurl.training.phases import Phase, fall, has_risen, phase_at, progress, rise, stage_at

RISE = {"first": 0.01, "last": 1.0, "hold": 0.2, "full": 0.6}


@pytest.mark.parametrize(
    ("done", "beta"), [(0.0, 0.01), (0.2, 0.01), (0.3, 0.01 * 10**0.5), (0.4, 0.1), (0.6, 1.0), (1.0, 1.0)]
)
def test_beta_is_held_and_then_rises_by_equal_factors(done, beta):
    assert rise(done, **RISE) == pytest.approx(beta)


@pytest.mark.parametrize(("first", "last", "half_way"), [(0.0, 1.0, 0.5), (0.5, 0.0, 0.25), (0.4, 0.4, 0.4)])
def test_beta_from_or_to_zero_goes_in_a_straight_line(first, last, half_way):
    assert rise(0.4, first=first, last=last, hold=0.2, full=0.6) == pytest.approx(half_way)


def test_a_rise_that_ends_before_it_begins_is_a_step():
    betas = [rise(done, first=0.1, last=1.0, hold=0.7, full=0.5) for done in (0.0, 0.49, 0.5, 0.7, 1.0)]
    assert betas == [0.1, 0.1, 1.0, 1.0, 1.0]


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
    "loss.beta_start=0.005",
    "loss.beta_hold=0.2",
    "loss.beta_full=0.6",
    "latent.word_dropout=0.6",
    "latent.word_dropout_end=0.0",
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


def test_a_phase_by_hand():
    """Of 100 steps: the discriminator joins at 40 and warms up over 5; its rate falls in the rest's latter half."""
    found = phase_at(profile("vae_gan"), 40, 100)
    assert (found.beta, found.word_dropout) == pytest.approx((0.05, 0.2))
    assert (found.stage, found.discriminator_lr) == (1, pytest.approx(1e-3 / 5))
    rates = {step: phase_at(profile("vae_gan"), step, 100).discriminator_lr for step in (44, 45, 72, 86, 100)}
    expected = {44: 1e-3, 45: 1e-3, 72: 1e-3, 86: 1e-3 * (14 / 55) / 0.5, 100: 0.0}
    assert rates == pytest.approx(expected)


def test_only_vae_gan_has_a_discriminator():
    assert phase_at(profile("vae"), 100, 100) == Phase(0.5, 0.0)
    before = phase_at(profile("vae_gan"), 39, 100)
    assert (before.stage, before.discriminator_lr) == (0, 0.0)


def test_beta_has_risen_at_its_end():
    assert [has_risen(profile("vae"), step, 100) for step in (0, 59, 60, 100)] == [False, False, True, True]
    assert has_risen(profile("transformer"), 0, 100)
    assert has_risen(profile("vae", "loss.beta_start=0.5"), 0, 100)  # it is constant


def test_what_latents_tell_by_themselves_fades():
    hints = profile("vae", "loss.bag=0.4", "loss.echo=0.2", "loss.hints_end=0.5")
    assert phase_at(hints, 0, 100).bag == 0.4
    assert phase_at(hints, 25, 100).echo == pytest.approx(0.1)
    assert (phase_at(hints, 60, 100).bag, phase_at(hints, 60, 100).echo) == (0.0, 0.0)
