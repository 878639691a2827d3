"""The bound of a split against the same computed window by window from its definition."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tests.support.training import latent_profile
from torch import nn
from torch.distributions import Normal, kl_divergence

from aurl.data.dataset import TokenDataset
from aurl.model.build import build_model
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import NOTE_ON, PAD
from aurl.training.batches import Batch, ValidationBatches
from aurl.training.bound import ALL, bound
from aurl.training.processes import Processes

SEQ_LEN = 48
LEVELS = ("global", "local", "fine")


@pytest.fixture(scope="module")
def model():
    """Latents with hardly any noise that are heard loudly, by a decoder with opinions; priors are standard normal."""
    torch.manual_seed(3)
    profile = latent_profile("vae", latent__initial_log_variance=-12.0)
    made = build_model(profile, Codec())
    for parameter in made.decoder.hearing.parameters():
        nn.init.normal_(parameter, std=0.3)
    nn.init.normal_(made.embedding.ids, std=0.5)
    made.word_dropout = made.level_dropout = 0.5  # for training only
    return made


@pytest.fixture(scope="module")
def accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=True)


@pytest.fixture
def windows(dataset):
    return TokenDataset(dataset, "valid", seq_len=SEQ_LEN)


def measured(model, windows, accelerator, **options):
    options = {"batch_size": 3, "rank": 0, "world": 1, **options}
    return bound(model, ValidationBatches(windows, **options), accelerator, Processes(0, 1))


def singly(windows):
    """Each window by itself, without padding."""
    batches = ValidationBatches(windows, batch_size=1, rank=0, world=1)
    return [batch for batch in batches if batch.counts.tokens]


@torch.no_grad()
def nats_of(model, batch: Batch, latents) -> float:
    stream = model.stream(latents, torch.arange(batch.inputs.shape[1]))
    logits = model(batch.inputs, start_steps=batch.start_steps, stream=stream)[0].double()
    scored = batch.targets[0] != PAD
    return -logits.log_softmax(-1)[scored].gather(1, batch.targets[0][scored, None]).sum().item()


@torch.no_grad()
def encoded(model, windows):
    return [model.encode(batch.following, batch.start_steps) for batch in singly(windows)]


def test_likelihood_divergence_and_their_sum(model, windows, accelerator):
    model.eval()
    found = measured(model, windows, accelerator)
    batches, posteriors = singly(windows), encoded(model, windows)
    means = [{level: one[level].mean for level in LEVELS} for one in posteriors]
    nats = sum(nats_of(model, batch, latents) for batch, latents in zip(batches, means, strict=True))
    tokens = sum(batch.counts.tokens for batch in batches)
    notes = sum(int((batch.targets < NOTE_ON.stop).sum()) for batch in batches)
    kl = dict.fromkeys(LEVELS, 0.0)
    for one in posteriors:
        for level in LEVELS:
            mean, deviation = one[level].mean, torch.exp(0.5 * one[level].log_variance)
            kl[level] += kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum().item()
    assert (found.likelihood.tokens, found.likelihood.notes) == (tokens, notes)
    assert found.likelihood.nats == pytest.approx(nats, rel=1e-3)
    assert found.kl == pytest.approx(kl, rel=1e-4)
    whole = nats + sum(kl.values())
    metrics = found.metrics
    expected = {
        "valid/nats_per_token": nats / tokens,
        "valid/nats_per_note": nats / notes,
        "valid/elbo_per_token": whole / tokens,
        "valid/elbo_per_note": whole / notes,
        "valid/kl_per_token": sum(kl.values()) / tokens,
        **{f"valid/kl_{level}": nats / tokens for level, nats in kl.items()},
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    assert found.criterion == metrics["valid/elbo_per_note"]


def test_active_units_are_those_whose_means_vary(model, windows, accelerator):
    found = measured(model, windows, accelerator)
    for level in LEVELS:
        means = np.concatenate([one[level].mean[0].numpy() for one in encoded(model, windows)]).astype(np.float64)
        assert found.active_units[level] == pytest.approx((means.var(0) > 0.01).mean())
    head = model.encoder.heads["fine"].mean
    with torch.no_grad():
        kept = head.weight.clone()
        head.weight[:4] = 0.0  # 4 of 16 dimensions are now the same everywhere
    found = measured(model, windows, accelerator)
    with torch.no_grad():
        head.weight.copy_(kept)
    assert found.active_units["fine"] == 0.75


def test_shuffled_cost_is_that_of_the_window_half_the_split_away(model, windows, accelerator):
    found = measured(model, windows, accelerator)
    batches, posteriors = singly(windows), encoded(model, windows)
    apart = len(batches) // 2
    tokens = sum(batch.counts.tokens for batch in batches)
    for name in (ALL, *LEVELS):
        lost = 0.0
        for number, batch in enumerate(batches):
            own, other = posteriors[number], posteriors[(number + apart) % len(batches)]
            mixed = {}
            for level in LEVELS:
                count, z = own[level].mean.shape[1], other[level].mean
                repeated = z[:, [place % z.shape[1] for place in range(count)]]
                mixed[level] = repeated if name in (ALL, level) else own[level].mean
            lost += nats_of(model, batch, mixed) - nats_of(model, batch, {level: own[level].mean for level in LEVELS})
        assert abs(lost / tokens) > 0.01
        assert found.shuffled_cost[name] == pytest.approx(lost / tokens, rel=0.02, abs=1e-4), name


def test_it_is_the_same_each_time_and_leaves_no_trace(model, windows, accelerator):
    model.train()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (measured(model, windows, accelerator).metrics for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.training


@pytest.mark.parametrize("world", [2, 3])
def test_processes_divide_it(model, windows, accelerator, world):
    """Nothing is counted twice, nor for windows that only fill a batch."""
    whole = measured(model, windows, accelerator)
    parts = [measured(model, windows, accelerator, rank=rank, world=world, batch_size=2) for rank in range(world)]
    assert sum(part.likelihood.tokens for part in parts) == whole.likelihood.tokens
    assert sum(part.likelihood.nats for part in parts) == pytest.approx(whole.likelihood.nats, rel=1e-3)
    for level in LEVELS:
        assert sum(part.kl[level] for part in parts) == pytest.approx(whole.kl[level], rel=1e-4)


def test_a_single_window_has_nobody_to_change_with(model, windows, accelerator):
    (batch, *_) = singly(windows)
    found = bound(model, [batch], accelerator, Processes(0, 1))
    assert found.shuffled_cost == {}
    assert found.likelihood.tokens == batch.counts.tokens
