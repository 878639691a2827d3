"""What a model is said to cost, beside what torch counts and keeps when it runs."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import one_hot
from torch.utils.flop_counter import FlopCounterMode

from aurl.model.attention import ATTENTION
from aurl.model.attention.slots import CHUNK
from aurl.model.build import build_discriminator, build_model
from aurl.model.discriminator import straight_through
from aurl.model.latents.echo import SHARE
from aurl.model.report import report
from aurl.profile import load_profile
from aurl.tokens.codec import Codec

CODEC = Codec(parts=False, header=("tempo",))
VOCABULARY = CODEC.vocabulary_size
ROWS, LENGTH = 2, 1024
HIDDEN = 64
"""Keys for each query that a block of queries looks at, but that are not in reach of all of them, at most on a side."""
SMALL = {"hierarchical": {"window": 64, "summaries": 16}, "multi_scale": {"windows": [32, 128]}}


def made(mode, *overrides, kind="full"):
    """Model and discriminator, and a batch."""
    torch.manual_seed(0)
    attention = {"model.pattern": [kind], "model.attention": {kind: SMALL.get(kind, {})}}
    profile = load_profile([mode, "tiny"], overrides, flags=attention)
    model = build_model(profile, CODEC).train()
    discriminator = build_discriminator(profile, model) if mode == "vae_gan" else None
    ids = torch.randint(0, 774, (ROWS, LENGTH + 1))
    forward = {"following": ids[:, 1:]} if model.levels else {}
    return SimpleNamespace(
        model=model, discriminator=discriminator, ids=ids[:, 1:], run=lambda: model(ids[:, :-1], **forward)
    )


def cost_of(made, *, length=LENGTH, half=False):
    return report(made.model, made.discriminator, seq_len=length, batch_size=ROWS, half=half)


def counted(run):
    """Module → operations per token, as torch counts them; "Global" is all of them."""
    with FlopCounterMode(display=False, depth=5) as counter:
        run()
    return {
        name.partition(".")[2] or name: sum(found.values()) / ROWS / LENGTH
        for name, found in counter.get_flop_counts().items()
    }


@pytest.mark.parametrize("mode", ["transformer", "vae"])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_flops_agree_with_torch_counter(mode, kind):
    """Exactly, but for what blocks of queries compute of the scores of keys that are then hidden from most of them."""
    run = made(mode, kind=kind)
    parts, found = cost_of(run).parts, counted(run.run)
    expected = {name: part.forward_flops_per_token for name, part in parts.items()}
    d_model = run.model.embedding.ids.shape[1]
    per_layer = 4 * d_model * HIDDEN
    decoder = sum(flops for name, flops in expected.items() if name.startswith("decoder."))
    assert decoder <= found["decoder"] * 1.0001
    assert found["decoder"] <= decoder + per_layer * len(run.model.decoder.layers())
    rest = found["Global"] - found["decoder"]
    if mode == "vae":
        encoder = expected["encoder.tokens"] + expected["encoder.segments"]
        assert encoder <= found["encoder"] * 1.0001
        assert found["encoder"] <= encoder + 2 * per_layer
        assert found["latent_stream"] == pytest.approx(expected["stream"])
        assert found["bags"] == pytest.approx(expected["bags"])
        assert found["echo"] == pytest.approx(expected["echo"])
        rest -= sum(found[name] for name in ("encoder", "latent_stream", "bags", "echo"))
    alone = sum(expected.get(name, 0) for name in ("embedding", "output", "prior"))
    assert rest == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("prior", ['{kind="mixture"}', '{kind="flow"}', '{kind="flow",layer="planar"}'])
@pytest.mark.parametrize("key", ["latent.prior", "latent.lower_prior"])
def test_flops_of_every_prior_agree_with_torch_counter(key, prior):
    run = made("vae", f"{key}={prior}", 'latent.conditions=["key", "tempo"]')
    posteriors, conditions = run.run().posteriors, torch.zeros(ROWS, 2, dtype=torch.int64)
    found = counted(lambda: run.model.prior.kl(posteriors, conditions))["Global"]
    assert cost_of(run).parts["prior"].forward_flops_per_token == pytest.approx(found)


def test_flops_of_each_view_agree_with_torch_counter():
    """But for means and powers of norms, which cost least."""
    run = made("vae_gan", "discriminator.width=64")
    table = run.model.embedding.tables().ids
    latent = run.run().posteriors["local"].mean
    real = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    found = counted(lambda: run.discriminator(one_hot(run.ids, VOCABULARY).float(), table, real=real, locals_=latent))
    parts = cost_of(run).parts
    names = {f"scales.scale_{scale}" for scale in (32, 128, 256)} | {"music", "latent"}
    told = {name: parts[f"discriminator.{name.removeprefix('scales.')}"].forward_flops_per_token for name in names}
    assert sum(told.values()) == pytest.approx(sum(found[name] for name in names), rel=0.001)
    for name in names:
        assert told[name] == pytest.approx(found[name], rel=0.001)


def test_flops_of_what_the_discriminator_hears_agree_with_torch_counter():
    run = made("vae_gan")
    ones = one_hot(run.ids, VOCABULARY).float()
    found = counted(lambda: run.model.encode_soft(ones, run.ids >= 0))["Global"]
    parts = cost_of(run).parts
    expected = parts["discriminator.input"].forward_flops_per_token + parts["embedding"].forward_flops_per_token
    assert expected <= found <= expected + 2 * 4 * run.model.embedding.ids.shape[1] * HIDDEN


def kept(run, modules, *, half):
    """Result, and bytes per token that autograd keeps of `run`, weights left out."""
    known = {tensor.untyped_storage().data_ptr() for module in modules for tensor in module.state_dict().values()}
    known |= {buffer.untyped_storage().data_ptr() for module in modules for buffer in module.buffers()}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor, so that its place is not taken again
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        result = run()
    return result, sum(size for size, _ in saved.values()) / ROWS / LENGTH


def activations(run, *, half, parts=None):
    """Bytes per token that are told, without those of the loss."""
    found = cost_of(run, half=half).parts
    logits = VOCABULARY * (12 + (2 if half else 4))
    latents = sum(level.count(LENGTH) for level in run.model.levels) / LENGTH + (bool(run.model.levels) / SHARE)
    told = sum(part.activation_bytes for name, part in found.items() if name.startswith(parts or ""))
    return told / ROWS / LENGTH - (0 if parts else logits * (1 + latents))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("mode", ["transformer", "vae"])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_activations_are_what_autograd_keeps(mode, kind, half):
    run = made(mode, kind=kind)
    _, found = kept(run.run, [run.model], half=half)
    assert found == pytest.approx(activations(run, half=half), rel=0.04)


@pytest.mark.parametrize(
    "options", [("model.dropout=0",), ('latent.prior={kind="mixture"}',), ('latent.lower_prior={kind="flow"}',)]
)
def test_activations_with_other_options(options):
    run = made("vae", *options)
    _, found = kept(run.run, [run.model], half=True)
    assert found == pytest.approx(activations(run, half=True), rel=0.04)


@pytest.mark.parametrize("mode", ["transformer", "vae"])
def test_checkpointing_keeps_one_block_at_a_time(mode):
    """Between the passes no block is kept but what goes in; in the backward pass there is one in full."""
    plain, run = made(mode, "model.n_layers=6"), made(mode, "model.n_layers=6", "model.checkpointing=true")
    _, found = kept(run.run, [run.model], half=False)
    block = (kept(plain.run, [plain.model], half=False)[1] - found) / 6
    assert found + block == pytest.approx(activations(run, half=False), rel=0.06)


def test_activations_of_a_discriminator_are_what_autograd_keeps():
    """What it is played is kept while it learns, and then while the generator learns from it."""
    run = made("vae_gan", "discriminator.width=64")
    table, real = run.model.embedding.tables().ids.detach(), torch.ones(ROWS, LENGTH, dtype=torch.bool)
    reconstruction = run.run()
    latent = reconstruction.posteriors["local"].mean

    def hear(music, times):
        return run.discriminator(music, table, real=real.repeat(times, 1), locals_=latent.repeat(times, 1, 1))

    _, learning = kept(lambda: hear(run.ids.repeat(2, 1), 2), [run.discriminator], half=False)
    played, playing = kept(lambda: straight_through(reconstruction.logits), [run.model], half=False)
    _, listening = kept(lambda: run.model.encode_soft(played, real), [run.model], half=False)
    run.discriminator.requires_grad_(False)
    _, passing = kept(lambda: hear(played, 1), [run.discriminator], half=False)
    views = (
        sum(part.activation_bytes for name, part in cost_of(run).parts.items() if name.startswith("discriminator."))
        / ROWS
        / LENGTH
    )
    one_hots = 4 * VOCABULARY
    found = playing + one_hots + listening + max(learning, passing)
    assert found <= views <= 1.3 * found


def test_a_report_adds_up():
    run = made("vae_gan")
    whole = cost_of(run)
    total = sum(p.numel() for p in (*run.model.parameters(), *run.discriminator.parameters()))
    own = sum(p.numel() for p in run.discriminator.parameters())
    assert whole.total_parameters == sum(whole.parameters.values()) == total
    assert whole.weight_bytes == 4 * total
    assert whole.optimizer_bytes == 16 * total - 4 * own  # no average is kept of a discriminator
    assert whole.training_bytes == whole.weight_bytes + whole.optimizer_bytes + whole.activation_bytes


def test_a_step_is_three_forward_passes_and_one_more_of_blocks_that_are_not_kept():
    plain, checkpointed = (cost_of(made("vae", f"model.checkpointing={word}")) for word in ("false", "true"))
    tokens = ROWS * LENGTH
    assert plain.training_flops_per_step == pytest.approx(3 * tokens * plain.forward_flops_per_token)
    blocks = sum(plain.parts[f"decoder.{name}"].forward_flops_per_token for name in ("attention", "feed_forward"))
    more = checkpointed.training_flops_per_step - plain.training_flops_per_step
    assert more == pytest.approx(tokens * blocks)


@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_cache_per_token_is_what_a_cache_holds(kind):
    run = made("vae", kind=kind)
    model = run.model.eval()
    stream = torch.zeros(1, LENGTH, model.latent_stream.size)
    cache = model.new_cache(1, LENGTH, stream)
    slots = [slots for layer in cache.layers for slots in slots_of(layer)]
    held = stream.nbytes + sum(slot._keys.nbytes * slot.size / slot._keys.shape[2] for slot in slots)
    held += sum(slot._values.nbytes * slot.size / (len(slot._values) * CHUNK) for slot in slots)
    assert cost_of(run).cache_bytes_per_token == round(held / LENGTH)


def slots_of(layer):
    """Where a layer's cache keeps keys and values."""
    rings = getattr(layer, "_rings", [layer])
    return [ring._slots for ring in rings]


def test_segments_are_counted_once():
    """Half as many segments cost half as much, tokens the same."""
    coarse, fine = (
        cost_of(made("vae", f"latent.fine_tokens={tokens}", "latent.fine_size=24", "latent.segment_layers=0"))
        for tokens in (64, 32)
    )
    assert coarse.parts["encoder.tokens"] == fine.parts["encoder.tokens"]
    bags = [whole.parts["bags"].forward_flops_per_token for whole in (coarse, fine)]
    per_latent = 2 * VOCABULARY * 24 / LENGTH
    assert bags[1] - bags[0] == pytest.approx(per_latent * (LENGTH / 32 - LENGTH / 64))
