import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from aurl.model.build import build_model, describe
from aurl.model.report import activation_bytes_per_token, count_parameters, forward_flops_per_token, report
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import list_profiles, load_profile
from aurl.tokens.codec import Codec

PACKAGED = [listed.name for listed in list_profiles() if listed.packaged]
VOCABULARY = 779
LAYERS = 3


def small_model(**options):
    return MusicTransformerVAEGAN(VOCABULARY, 64, n_layers=LAYERS, n_heads=2, **options).train()


@pytest.mark.parametrize("name", PACKAGED)
def test_every_shipped_profile_is_described(name):
    described = describe(load_profile([name]))
    assert described.total_parameters > 0
    assert described.training_bytes > described.weight_bytes
    assert f"{described.total_parameters:,}" in str(described)


def test_sizes_are_ordered():
    sizes = [describe(load_profile([name])).total_parameters for name in ("tiny", "small", "base", "large")]
    assert sizes == sorted(sizes)
    assert 4e6 < sizes[1] < 6e6


def test_description_counts_what_is_built():
    profile = load_profile(["tiny"])
    codec = Codec(time_base=profile.tokens.time_base, parts=profile.tokens.parts, header=profile.tokens.header)
    model = build_model(profile, codec)
    assert describe(profile).total_parameters == sum(p.numel() for p in model.parameters())
    assert model(torch.tensor([[codec.vocabulary_size - 1]])).shape == (1, 1, codec.vocabulary_size)


@pytest.mark.parametrize("pattern", [("full",), ("sliding_window", "full"), ("multi_scale",), ("hierarchical",)])
def test_flops_agree_with_torch_counter(pattern):
    length, batch = 1024, 2
    model = small_model(pattern=pattern, attention={"sliding_window": {"window": 256}})
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(batch, length, dtype=torch.int64))
    tables = 2 * sum(x.numel() * 64 for x in (model.embedding.numbers, model.embedding.phases, model.embedding.elapsed))
    expected = forward_flops_per_token(model, length) * batch * length
    # Blocks also compute some of the scores that causality then hides: at most half a block of 64 per query.
    hidden = 4 * 64 * 64 * LAYERS * batch * length
    assert expected < counter.get_total_flops() - tables < expected + hidden


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_agree_with_what_autograd_saves(dropout, half, checkpointing):
    length = 4096  # long, so that what does not grow with the tokens weighs little
    model = small_model(dropout=dropout, checkpointing=checkpointing)
    known = {p.data_ptr() for p in model.parameters()}
    saved = {}

    def pack(tensor):
        if tensor.data_ptr() not in known:
            saved[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    ids = torch.zeros(1, length, dtype=torch.int64)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        model(ids)
    logits = VOCABULARY * (12 + (2 if half else 4))
    block = (activation_bytes_per_token(small_model(dropout=dropout), half=half) - logits) / LAYERS
    expected = activation_bytes_per_token(model, half=half) - logits
    if checkpointing:
        expected -= block  # the one block that is recomputed in the backward pass
    found = sum(size for size, _ in saved.values()) / length
    embedded = 4 * (4 * 64 + 3 * 8) + 500  # first and last norm, dropout, ids, turns, and the share of the tables
    assert expected <= found <= expected * 1.02 + embedded


def test_report_adds_up():
    model = small_model()
    whole = report(model, seq_len=10, batch_size=3)
    total = sum(p.numel() for p in model.parameters())
    assert sum(count_parameters(model).values()) == whole.total_parameters == total
    assert whole.weight_bytes == 4 * total
    assert whole.optimizer_bytes == 16 * total
    assert whole.training_flops_per_step == pytest.approx(90 * whole.forward_flops_per_token)
    assert report(small_model(checkpointing=True), seq_len=10, batch_size=3).training_flops_per_step == pytest.approx(
        120 * whole.forward_flops_per_token
    )
