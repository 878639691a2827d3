import pytest
import torch
from tests.support.attention import OPTIONS

from aurl.errors import UsageError
from aurl.model.attention import ATTENTION
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import PAD
from aurl.training.optim import OPTIMIZERS

PATTERNS = [(kind,) for kind in ATTENTION.kinds()] + [ATTENTION.kinds()]
VOCABULARY = 779


def small_model(pattern=("full",), attention=OPTIONS, **options):
    torch.manual_seed(0)
    return MusicTransformerVAEGAN(
        VOCABULARY, 32, n_layers=max(2, len(pattern)), n_heads=2, pattern=pattern, attention=attention, **options
    ).eval()


def random_ids(batch, length):
    return torch.randint(0, 774, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pieces", [[1] * 70, [50] + [1] * 20, [3, 1, 40, 1, 25]])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_cached_logits_equal_uncached(pattern, pieces):
    model, ids, start_steps = small_model(pattern), random_ids(3, 70), torch.tensor([0, 5, 7000])
    with torch.inference_mode():
        whole = model(ids, start_steps=start_steps)
        cache = model.new_cache(3, 90)
        parts = [model(part, start_steps=start_steps, cache=cache) for part in ids.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rows_that_stay_are_not_disturbed_by_rows_that_leave(pattern):
    model, ids = small_model(pattern), random_ids(4, 40)
    rows = torch.tensor([3, 1])
    with torch.inference_mode():
        cache = model.new_cache(4, 40)
        model(ids[:, :25], cache=cache)
        cache.select(rows)
        rest = torch.cat([model(ids[rows, t : t + 1], cache=cache) for t in range(25, 40)], 1)
        torch.testing.assert_close(rest, model(ids)[rows, 25:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_later_ids_and_padding_change_nothing_before_them(pattern):
    model, ids = small_model(pattern), random_ids(2, 60)
    padded = ids.clone()
    padded[:, 33:] = PAD
    with torch.inference_mode():
        torch.testing.assert_close(model(padded)[:, :33], model(ids)[:, :33], rtol=0, atol=1e-5)


def test_full_cache_refuses_more():
    model = small_model()
    with torch.inference_mode(), pytest.raises(ValueError, match="cannot hold 11"):
        model(random_ids(1, 11), cache=model.new_cache(1, 10))


def test_every_parameter_learns():
    model = small_model(ATTENTION.kinds()).train()
    ids = random_ids(2, 50)
    torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_all_kinds_train_side_by_side_and_decode_as_they_compute():
    model, ids = small_model(ATTENTION.kinds()).train(), random_ids(2, 60)
    optimizer = OPTIMIZERS.build("muon", model, 1e-2, 0.0)
    losses = []
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    queries = [parameter for name, parameter in model.named_parameters() if name.endswith("summaries.queries")]
    assert [sorted(optimizer.state[parameter]) for parameter in queries] == [["exp_avg", "exp_avg_sq", "step"]]
    with torch.inference_mode():
        cache = model.eval().new_cache(2, 60)
        parts = [model(part, cache=cache) for part in ids.split([37] + [1] * 23, dim=1)]
        torch.testing.assert_close(torch.cat(parts, 1), model(ids), rtol=0, atol=1e-4)


@pytest.mark.parametrize("length", [5, 16])
def test_what_is_too_short_to_summarise_still_reaches_every_parameter(length):
    model = small_model(("hierarchical",)).train()
    model(random_ids(1, length)).sum().backward()
    assert all(p.grad is not None for p in model.decoder.parameters())


def test_checkpointing_changes_no_gradient():
    ids = random_ids(2, 50)
    gradients = []
    for checkpointing in (False, True):
        model = small_model(checkpointing=checkpointing).train()
        model(ids).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_heads_must_divide_the_width():
    with pytest.raises(UsageError, match="n_heads"):
        MusicTransformerVAEGAN(VOCABULARY, 30, n_layers=1, n_heads=4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_piece_is_the_same_in_any_batch(pattern):
    model, ids = small_model(pattern), random_ids(5, 30)
    with torch.inference_mode():
        together, alone = model.new_cache(5, 30), model.new_cache(1, 30)
        for t in range(30):
            many, one = model(ids[:, t : t + 1], cache=together), model(ids[2:3, t : t + 1], cache=alone)
            torch.testing.assert_close(many[2:3], one, rtol=0, atol=1e-6)


def test_a_step_ignores_autocast_and_keeps_no_gradient():
    model, ids = small_model(), random_ids(1, 5)
    with torch.autocast("cpu", torch.bfloat16):
        cache = model.new_cache(1, 5)
        parts = [model(part, cache=cache) for part in ids.split([3, 1, 1], dim=1)]
    assert not any(part.requires_grad for part in parts)
    torch.testing.assert_close(torch.cat(parts, 1), model(ids).detach(), rtol=0, atol=1e-4)


def test_training_in_bf16_stays_near_fp32():
    model, ids = small_model(ATTENTION.kinds()).train(), random_ids(2, 200)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = model(ids[:, :-1])
        torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


@pytest.mark.parametrize("length", [9_433, pytest.param(16_384, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", sorted(set(ATTENTION.kinds()) - {"full"}))
def test_long_pieces_train(kind, length):
    model = small_model((kind,), attention=None, checkpointing=True).train()
    model(random_ids(1, length)).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
