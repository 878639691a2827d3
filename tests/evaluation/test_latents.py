import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from aurl.data.dataset import Rows
from aurl.evaluation.latents import ALL, LatentUse, latent_use
from aurl.model.build import build_model
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS, NOTE_ON, PAD, TIME_SHIFT

LENGTH, ROWS, CONTEXT = 16, 3, 3
LEVELS = ("global", "local", "fine")


def build(mode: str = "vae", **latent) -> MusicTransformerVAEGAN:
    """A tiny model with random weights in every layer, so that latents are heard."""
    sizes = {"global_size": 16, "local_size": 16, "fine_size": 16, "local_tokens": 8, "fine_tokens": 4}
    flags = {f"latent.{key}": value for key, value in (sizes | {"stream_size": 8} | latent).items()}
    decoder = {"model.mode": mode, "model.d_model": 16, "model.n_layers": 2, "model.n_heads": 2}
    torch.manual_seed(0)
    model = build_model(load_profile(flags=flags | decoder), Codec(parts=False, header=())).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def windows(seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    ids = rng.integers(NOTE_ON.start, TIME_SHIFT.stop, (ROWS, LENGTH + 1))
    ids[:, 0] = BOS
    ids[1, -4:] = PAD
    return Rows(ids, np.array([0, 64, 5000]), np.array([1, CONTEXT, CONTEXT]))


def scored(logits: torch.Tensor, rows: Rows) -> tuple[float, int, int]:
    """Nats, right guesses and targets, one at a time."""
    nats, right, count = 0.0, 0, 0
    for row, (ids, context) in enumerate(zip(rows.ids, rows.context, strict=True)):
        for place in range(max(context, 1), LENGTH + 1):
            if ids[place] != PAD:
                chance = logits[row, place - 1].double().softmax(-1)
                nats -= float(chance[ids[place]].log())
                right += int(chance.argmax()) == ids[place]
                count += 1
    return nats, right, count


def tensors(rows: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(rows.ids)
    return ids[:, :-1], ids[:, 1:], torch.from_numpy(rows.start_steps)


@torch.no_grad()
def test_without_latents_it_is_likelihood_and_accuracy():
    model, batches = build("transformer"), [windows(0), windows(1)]
    expected = [scored(model(tensors(rows)[0], start_steps=tensors(rows)[2]), rows) for rows in batches]
    use = latent_use(model, batches)
    nats, right, count = map(sum, zip(*expected, strict=True))
    assert (use.tokens, use.correct) == (count, right)
    assert use.nats == use.mean_nats == pytest.approx(nats, rel=1e-5)
    assert use.bound == use.nats
    assert not use.kl
    assert not use.lost
    assert not use.active_units


@torch.no_grad()
def test_each_row_is_given_the_latents_of_the_one_before():
    # Posteriors so narrow that what is drawn from them is nearly their mean.
    model, rows = build(initial_log_variance=-40.0), windows()
    inputs, following, start_steps = tensors(rows)
    means = {name: found.mean for name, found in model.encode(following, start_steps).items()}

    def given(moved: tuple[str, ...]) -> float:
        logits = []
        for row in range(ROWS):
            latents = {name: mean[[row - 1]] if name in moved else mean[[row]] for name, mean in means.items()}
            stream = model.stream(latents, torch.arange(LENGTH))
            logits.append(model(inputs[[row]], start_steps=start_steps[[row]], stream=stream))
        return scored(torch.cat(logits), rows)[0]

    right = given(())
    expected = {ALL: given(LEVELS) - right} | {name: given((name,)) - right for name in LEVELS}
    use = latent_use(model, [rows])
    assert use.nats == pytest.approx(right, rel=1e-4)
    assert use.lost == pytest.approx(expected, abs=0.05)
    assert all(abs(lost) > 0.1 for lost in use.lost.values())


def test_divergence_is_that_of_what_is_real():
    model, rows = build(), windows()
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.zero_()  # a standard normal distribution of every latent
        found = model.encode(*tensors(rows)[1:])
    expected = {}
    for name, posterior in found.items():
        here = Normal(posterior.mean, torch.exp(0.5 * posterior.log_variance))
        expected[name] = float(kl_divergence(here, Normal(0.0, 1.0)).sum(-1)[posterior.real].sum())
    assert not found["fine"].real.all()
    use = latent_use(model, [rows])
    assert use.kl == pytest.approx(expected, rel=1e-4)
    assert use.bound == pytest.approx(use.nats + sum(expected.values()), rel=1e-5)
    assert use.active_units.keys() == set(LEVELS)


def test_draws_depend_on_the_seed_alone():
    model, rows = build(), windows()
    assert latent_use(model, [rows], seed=3) == latent_use(model, [rows], seed=3)
    assert latent_use(model, [rows], seed=3).nats != latent_use(model, [rows], seed=4).nats


def test_figures_are_per_token_but_for_shares():
    use = LatentUse(10, 4, 20.0, 18.0, 7, {"global": 5.0}, {"global": 0.5}, {ALL: 3.0, "global": 2.0})
    assert use.per_token() == {
        "tokens": 10,
        "notes": 4,
        "accuracy": 0.7,
        "nats": 2.0,
        "mean_nats": 1.8,
        "bound": 2.5,
        "bound_per_note": 6.25,
        "kl/global": 0.5,
        "active_units/global": 0.5,
        "lost/all": 0.3,
        "lost/global": 0.2,
    }
