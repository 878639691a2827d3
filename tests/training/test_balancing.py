"""Weights that are learned and a beta that listens, in a whole run."""

import shutil

import pytest
from tests.support.training import facts, latent_profile, small_profile, tensors, told
from tests.training.test_resume import assert_same, fit_in_sittings

from aurl.loss.balancing import BALANCERS
from aurl.loss.schedules import KL_SCHEDULES
from aurl.training.trainer import fit, resume

THREADS = 1
LATENT_TERMS = {kind: {"weight": 0.1} for kind in ("mutual_information", "orthogonality", "sparsity")}
LISTENING = {"kind": "adaptive", "target": 0.5, "speed": 0.5}
CYCLES = {"kind": "cyclical", "cycles": 3}
WHAT_LEARNS = [
    {"loss__kl_schedule": LISTENING, "loss__balancing": {"kind": "uncertainty", "rate": 0.1}},
    {"loss__kl_schedule": CYCLES, "loss__balancing": {"kind": "gradient_norm", "every": 3, "kl": True}},
]


def balanced(mode="vae", **options):
    return latent_profile(mode, **{"loss__terms": LATENT_TERMS, "log_every": 4, **options})


@pytest.mark.parametrize("what", WHAT_LEARNS, ids=["adaptive_uncertainty", "cyclical_gradient_norm"])
def test_what_has_been_learned_goes_on_where_it_was(dataset, tmp_path, what):
    """Stops lie inside cycles, between two measurements and inside intervals of the log."""
    profile = balanced(max_steps=17, **what)
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    fit_in_sittings(profile, dataset, tmp_path / "parts", [5, 10, 11])
    assert_same(tmp_path / "whole", tmp_path / "parts")
    lines = [record for record in told(tmp_path / "whole") if "beta" in record]
    for name in ("beta", "weight/sparsity_local"):
        assert len({record[name] for record in lines}) > 1, name


@pytest.mark.slow
def test_with_a_discriminator_too(dataset, tmp_path):
    profile = balanced(
        "vae_gan",
        max_steps=30,
        loss__balancing={"kind": "gradient_norm", "every": 4},
        loss__kl_schedule=LISTENING,
        accumulation=2,
    )
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    fit_in_sittings(profile, dataset, tmp_path / "parts", [9, 20])
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.parametrize("balancing", sorted(set(BALANCERS.kinds()) - {"fixed"}))
def test_two_processes_are_one_with_twice_the_batch(dataset, tmp_path, balancing):
    """With hardly any noise around posterior means, and terms that are sums over latents and targets.

    Three updates are enough to learn something; sparsity makes much of what little noise there is.
    """
    common = {"max_steps": 3, "model__dropout": 0.0, "latent__word_dropout": 0.0, "latent__level_dropout": 0.0}
    common |= {"latent__initial_log_variance": -12.0, "loss__echo": 0.0, "training__optimizer": {"kind": "adamw"}}
    common |= {"loss__kl_schedule": LISTENING, "loss__terms": {"sparsity": {"weight": 0.1}, "leaps": {"weight": 0.1}}}
    common |= {"loss__balancing": {"kind": balancing}}
    one = fit(latent_profile("vae", **common, data__batch_size=4), dataset, tmp_path / "one", threads=1)
    two = fit(latent_profile("vae", **common, data__batch_size=2), dataset, tmp_path / "two", processes=2, threads=1)
    assert one.tokens == two.tokens
    compared = 0
    for expected, found in zip(told(tmp_path / "one"), told(tmp_path / "two"), strict=True):
        for name in (name for name in expected if name.startswith(("train/", "beta", "weight/"))):
            assert found[name] == pytest.approx(expected[name], rel=2e-3, abs=1e-6), (expected["step"], name)
            compared += name.startswith("weight/")
    assert compared >= 3 * (3 + 1)


@pytest.mark.slow
def test_two_processes_go_on_where_they_were(dataset, tmp_path):
    """As after SIGKILL between two checkpoints, the newer of which came to nothing."""
    what_learns = {"loss__kl_schedule": LISTENING, "loss__balancing": {"kind": "gradient_norm", "every": 3}}
    profile = balanced(max_steps=7, checkpoint_every=4, **what_learns)
    fit(profile, dataset, tmp_path / "whole", processes=2, threads=THREADS)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "step-00000007")
    assert resume(tmp_path / "killed").step == 7
    assert facts(tmp_path / "killed")["processes"] == 2
    assert_same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("kind", KL_SCHEDULES.kinds())
def test_every_schedule_trains(dataset, tmp_path, kind):
    fit(
        latent_profile("vae", max_steps=6, loss__kl_schedule={"kind": kind}), dataset, tmp_path / "run", threads=THREADS
    )
    betas = [record["beta"] for record in told(tmp_path / "run") if "beta" in record]
    assert len(betas) == 6
    assert all(0 <= beta <= 1 for beta in betas)


def test_a_beta_that_listens_rises_only_where_latents_cost_too_much(dataset, tmp_path):
    """One target is far below the KL divergence at the start, one far above."""
    course = {}
    for target in (1e-3, 1e3):
        schedule = {"kind": "adaptive", "target": target, "smallest": 0.1, "largest": 1.0}
        profile = latent_profile("vae", max_steps=5, loss__kl_schedule=schedule)
        fit(profile, dataset, tmp_path / str(target), threads=THREADS)
        course[target] = [record["beta"] for record in told(tmp_path / str(target)) if "beta" in record]
    expected = [0.1 * 2.718281828459045 ** (0.1 * step) for step in range(5)]
    assert course[1e-3] == pytest.approx(expected)
    assert course[1e3] == pytest.approx([0.1] * 5)


def test_only_what_is_balanced_is_told(dataset, tmp_path):
    """Every term that was asked for is in the log, and with fixed weights nothing more."""
    for kind in ("fixed", "gradient_norm"):
        profile = balanced(max_steps=2, log_every=1, loss__balancing={"kind": kind})
        fit(profile, dataset, tmp_path / kind, threads=THREADS)
    names = {f"{kind}_{level}" for kind in LATENT_TERMS for level in ("global", "local", "fine")}
    fixed, moved = (set(told(tmp_path / kind)[-1 if kind == "fixed" else 1]) for kind in ("fixed", "gradient_norm"))
    fixed = {name for record in told(tmp_path / "fixed") for name in record}
    assert {f"train/{name}" for name in names} <= fixed
    assert not any(name.startswith("weight/") for name in fixed)
    assert {name for name in moved if name.startswith("weight/")} == {f"weight/{name}" for name in names}


def test_without_further_terms_every_balancing_is_the_same(dataset, tmp_path):
    for kind in BALANCERS.kinds():
        profile = small_profile(max_steps=3, loss__balancing={"kind": kind})
        fit(profile, dataset, tmp_path / kind, threads=THREADS)
    assert len({tuple(sorted(tensors(tmp_path / kind).items())) for kind in BALANCERS.kinds()}) == 1


def test_terms_of_mode_transformer_are_balanced(dataset, tmp_path):
    terms = {"leaps": {"weight": 0.1}}
    profile = small_profile(max_steps=3, loss__terms=terms, loss__balancing={"kind": "gradient_norm", "every": 1})
    fit(profile, dataset, tmp_path / "run", threads=THREADS)
    weights = [record["weight/leaps"] for record in told(tmp_path / "run") if "lr" in record]
    assert len(set(weights)) == 3
