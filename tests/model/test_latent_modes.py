"""The model with latents: what it promises beside what every decoder does."""

import pytest
import torch
from tests.support.attention import OPTIONS
from tests.support.latent_models import FLAT, small_vae
from torch.nn.functional import cross_entropy, one_hot

from aurl.errors import UsageError
from aurl.model.attention import ATTENTION
from aurl.model.elapsed import Clock
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import MASK, PAD, TIME_SHIFT
from aurl.training.optim import OPTIMIZERS, set_learning_rate

VOCABULARY = Codec().vocabulary_size
PATTERNS = [(kind,) for kind in ATTENTION.kinds()] + [ATTENTION.kinds()]
STYLES = ("Bach", "Mozart", "Chopin")
VARIANTS = {
    "three levels": {},
    "flat": FLAT,
    "no local": {"local_size": 0},
    "no fine": {"fine_size": 0},
    "batch norm": {"batch_norm": True},
    "conditions": {"conditions": ("key", "tempo"), "styles": STYLES},
    "mixture": {"prior": {"kind": "mixture"}, "lower_prior": {"kind": "flow"}},
}
variants = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())


def vae(**options):
    return small_vae(packed=False, **options)


def windows(*lengths, seed=1):
    """(ids, following), `(B, max(lengths))`, padded."""
    ids = torch.randint(0, PAD, (len(lengths), max(lengths) + 1), generator=torch.Generator().manual_seed(seed))
    inside = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids[:, :-1].where(inside, PAD), ids[:, 1:].where(inside, PAD)


def reconstruct(model, ids, following, *, seed=0, **options):
    torch.manual_seed(seed)
    return model(ids, following=following, **options)


def everything(found):
    """A number that all of it goes into."""
    guesses = (found.logits, found.echo.logits, *found.bags.values())
    return sum(x.log_softmax(-1)[..., 3].mean() for x in guesses) + sum(nats.mean() for nats in found.kl.values())


@variants
@torch.no_grad()
def test_a_reconstruction_says_all_about_every_level(options):
    model = vae(**options)
    found = reconstruct(model, *windows(50, 33, 1))
    assert found.logits.shape == (3, 50, VOCABULARY)
    names = [level.name for level in model.levels]
    assert list(found.posteriors) == names
    assert found.kl.keys() == found.bags.keys() == set(names)
    assert found.echo.logits.shape == (3, len(found.echo.positions), VOCABULARY)
    for level in model.levels:
        count = level.count(50)
        assert found.posteriors[level.name].z.shape == (3, count, level.size)
        assert found.bags[level.name].shape == (3, count, VOCABULARY)
        real = torch.tensor([[number < level.count(length) for number in range(count)] for length in (50, 33, 1)])
        assert torch.equal(found.posteriors[level.name].real, real)
        assert torch.equal(found.kl[level.name] != 0, real)


@variants
@pytest.mark.parametrize("length", [1, 40])
def test_every_parameter_takes_part_in_every_step(options, length):
    """Else processes that learn together would wait for its gradient in vain."""
    model = vae(**options).train()
    model.level_dropout, model.word_dropout = 0.5, 1.0
    everything(reconstruct(model, *windows(length, 1))).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_every_parameter_learns():
    model = vae(model__pattern=("sliding_window", "full")).train()
    everything(reconstruct(model, *windows(64, 50))).backward()
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


@torch.no_grad()
def test_latents_are_of_what_follows_at_its_own_time():
    model, (ids, following) = vae(), windows(40, 40)
    ids[:, 0] = torch.tensor([TIME_SHIFT.start + 29, 7])  # 30 steps, none
    start_steps = torch.tensor([5, 1000])
    found = reconstruct(model, ids, following, start_steps=start_steps)
    expected = model.encode(following, start_steps + torch.tensor([30, 0]))
    for name, posterior in found.posteriors.items():
        torch.testing.assert_close(posterior.mean, expected[name].mean)
    other = model.encode(following, start_steps)
    assert not torch.allclose(other["fine"].mean[0], expected["fine"].mean[0], atol=1e-3)


@variants
@torch.no_grad()
def test_logits_are_those_of_the_stream_of_the_draws(options):
    model, (ids, following) = vae(**options), windows(40, 40)
    found = reconstruct(model, ids, following)
    stream = model.stream({name: posterior.z for name, posterior in found.posteriors.items()}, torch.arange(40))
    torch.testing.assert_close(model(ids, stream=stream), found.logits)
    torch.testing.assert_close(model.echo.out(stream)[:, found.echo.positions], found.echo.logits)
    assert not torch.allclose(model(ids, stream=stream.roll(1, 0)), found.logits, atol=1e-2)


@torch.no_grad()
def test_a_window_is_the_same_in_any_batch():
    model, (_, following) = vae(), windows(40, 27, 9)
    together = model.encode(following)
    for row, length in enumerate((40, 27, 9)):
        for name, alone in model.encode(following[row : row + 1, :length]).items():
            torch.testing.assert_close(
                together[name].mean[row][together[name].real[row]], alone.mean[0], rtol=0, atol=1e-5
            )


@torch.no_grad()
def test_one_seed_one_result():
    model, given = vae().train(), windows(40, 27)
    model.word_dropout = model.level_dropout = 0.5
    first, again, other = (reconstruct(model, *given, seed=seed).logits for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)


@pytest.mark.parametrize("pattern", PATTERNS, ids="+".join)
@pytest.mark.parametrize("pieces", [[1] * 50, [30] + [1] * 20, [3, 1, 25, 1, 20]], ids=str)
@torch.no_grad()
def test_cached_decoding_hears_what_a_whole_pass_hears(pattern, pieces):
    model = vae(model__pattern=pattern, model__n_layers=len(pattern), model__attention=OPTIONS)
    ids, start_steps = windows(50, 50, 50)[0], torch.tensor([0, 5, 7000])
    stream = torch.randn(3, 60, 16, generator=torch.Generator().manual_seed(2))
    whole = model(ids, start_steps=start_steps, stream=stream[:, :50])
    cache = model.new_cache(3, 60, stream)
    parts = [model(part, start_steps=start_steps, cache=cache) for part in ids.split(pieces, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-4)
    assert not torch.allclose(whole, model(ids, start_steps=start_steps, stream=stream.roll(1, 0)[:, :50]), atol=0.1)


@pytest.mark.parametrize("pattern", PATTERNS, ids="+".join)
@torch.no_grad()
def test_rows_that_stay_hear_their_own_latents(pattern):
    model = vae(model__pattern=pattern, model__n_layers=len(pattern), model__attention=OPTIONS)
    ids, rows = windows(50, 50, 50)[0], torch.tensor([2, 0])
    stream = torch.randn(3, 50, 16, generator=torch.Generator().manual_seed(2))
    whole, cache = model(ids, stream=stream), model.new_cache(3, 50, stream)
    model(ids[:, :21], cache=cache)
    model(ids[:, 21:22], cache=cache)
    cache.select(rows)
    rest = [model(part, cache=cache) for part in ids[rows, 22:].split([1, 1, 16, 10], 1)]
    torch.testing.assert_close(torch.cat(rest, 1), whole[rows, 22:], rtol=0, atol=1e-4)


def seen_by_decoder(model, ids, following, **options):
    """The ids and times that the decoder's embedding is given."""
    calls = []
    with model.embedding.register_forward_pre_hook(lambda _, given: calls.append(given[:2])):
        reconstruct(model, ids, following, **options)
    (encoded, _), decoded = calls
    assert torch.equal(encoded, following)  # the encoder hears everything
    return decoded


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@torch.no_grad()
def test_word_dropout_hides_ids_and_neither_times_nor_the_first(share):
    rows = 600
    model, (ids, following) = vae().train(), windows(*[16] * rows)
    model.word_dropout = share
    seen, elapsed_steps = seen_by_decoder(model, ids, following, start_steps=torch.full((rows,), 9))
    hidden = seen == MASK
    assert torch.equal(seen[~hidden], ids[~hidden])
    assert not hidden[:, 0].any()
    assert hidden[:, 1:].float().mean() == pytest.approx(share, abs=4 * (share * (1 - share) / rows) ** 0.5)
    assert torch.equal(elapsed_steps, model.embedding.times(ids, Clock.at(torch.full((rows,), 9)))[0])
    by_row = hidden[:, 1:].float().mean(1)  # rows differ by more than chance: some are all but blind, some see all
    if 0 < share < 1:
        assert (by_row > 0.9).any()
        assert (by_row == 0).float().mean() > 0.1


@torch.no_grad()
def test_nothing_is_hidden_when_it_learns_no_more():
    model, (ids, following) = vae(), windows(64, 64)
    model.word_dropout, model.level_dropout = 1.0, 0.99
    assert torch.equal(seen_by_decoder(model, ids, following)[0], ids)
    assert all(nats.all() for nats in reconstruct(model, ids, following).kl.values())


@torch.no_grad()
def test_level_dropout_silences_lower_levels_of_some_windows():
    model, rows = vae().train(), 1500
    model.level_dropout = 0.6
    kl = reconstruct(model, *windows(*[2] * rows)).kl
    heard = {name: nats[:, 0] != 0 for name, nats in kl.items()}
    assert heard["global"].all()
    assert not (heard["fine"] & ~heard["local"]).any()
    for name, share in (("local", 0.7), ("fine", 0.4)):  # half of what is dropped goes down to local, half to global
        assert heard[name].float().mean() == pytest.approx(share, abs=4 * (share * (1 - share) / rows) ** 0.5)


@torch.no_grad()
def test_what_is_not_heard_costs_nothing_and_says_nothing():
    model, (ids, following) = vae().train(), windows(*[40] * 30)
    model.level_dropout = 0.8
    found = reconstruct(model, ids, following)
    latents = {name: posterior.z for name, posterior in found.posteriors.items()}
    heard = {name: (found.kl[name] != 0).any(1) for name in latents}
    assert {tuple(bool(rows[row]) for rows in heard.values()) for row in range(30)} == {
        (True, False, False), (True, True, False), (True, True, True)
    }  # fmt: skip
    silenced = model.latent_stream(latents, torch.arange(40), heard)
    torch.testing.assert_close(model(ids, stream=silenced), found.logits)
    everything_heard = model.stream(latents, torch.arange(40))
    differs = (everything_heard - silenced).abs().amax((1, 2)) > 1e-3
    assert torch.equal(differs, ~heard["fine"])


def test_a_flat_model_has_no_lower_levels_to_drop():
    model, given = vae(**FLAT).train(), windows(20, 20)
    model.level_dropout = 0.99
    assert reconstruct(model, *given).kl["global"].all()


@torch.no_grad()
def test_soft_ids_are_heard_as_hard_ones():
    model, (_, following), start_steps = vae(), windows(40, 17), torch.tensor([3, 800])
    one_hots = one_hot(following, VOCABULARY).float()
    one_hots[following == PAD] = 1 / VOCABULARY  # what a generator writes behind the end
    found = model.encode_soft(one_hots, following != PAD, start_steps)
    for name, posterior in model.encode(following, start_steps).items():
        assert torch.equal(found[name].real, posterior.real)
        for part in ("mean", "log_variance"):
            expected = getattr(posterior, part)[posterior.real]
            torch.testing.assert_close(getattr(found[name], part)[posterior.real], expected, rtol=0, atol=1e-5)


def test_soft_ids_take_gradient_and_the_listener_learns_nothing():
    model, (_, following) = vae(batch_norm=True).train(), windows(40, 17)
    one_hots = one_hot(following, VOCABULARY).float().requires_grad_()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found = model.encode_soft(one_hots, following != PAD)
    sum(posterior.mean.pow(3).sum() for posterior in found.values()).backward()
    assert one_hots.grad[0].any(-1).all()
    assert not one_hots.grad[1, 17:].any()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == []
    assert [name for name, buffer in model.named_buffers() if not torch.equal(buffer, buffers[name])] == []
    model.encode(following)
    assert not torch.equal(
        model.encoder.heads["fine"].norm.running_mean, buffers["encoder.heads.fine.norm.running_mean"]
    )


def test_soft_ids_under_autocast_leave_gradients_of_hard_ones_alone():
    model, (ids, following) = vae().train(), windows(40, 17)
    gradients = []
    for listens in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if listens:
                model.encode_soft(one_hot(following, VOCABULARY).float(), following != PAD)
            cost = everything(reconstruct(model, ids, following))
        cost.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_training_in_bf16_stays_near_fp32():
    model, given = vae(model__pattern=("sliding_window", "full")).train(), windows(60, 60, 60, 41)
    gradients = []
    for half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = reconstruct(model, *given)
        cost = cross_entropy(found.logits.float().flatten(0, 1), given[1].flatten(), ignore_index=PAD)
        (cost + 0.01 * sum(nats.mean() for nats in found.kl.values())).backward()
        learned = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        gradients.append(torch.cat([grad.flatten() for grad in learned]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


def test_a_transformer_has_no_latents():
    model = MusicTransformerVAEGAN(VOCABULARY, 32, n_layers=1, n_heads=2)
    assert model.levels == ()
    with pytest.raises(UsageError, match="no latents"):
        model.encode(windows(5)[1])


@pytest.mark.slow
def test_what_is_hidden_can_be_told_from_the_latents_alone():
    model, steps, lr = vae(fine_size=32, fine_tokens=8, stream_size=32).train(), 300, 0.015
    model.word_dropout = 1.0
    ids, following = (x % 50 for x in windows(*[32] * 6))
    optimizer = OPTIMIZERS.build("muon", model, lr, 0.0)
    for step in range(steps):
        set_learning_rate(optimizer, lr * (1 - step / steps))
        optimizer.zero_grad()
        cross_entropy(model(ids, following=following).logits.flatten(0, 1), following.flatten()).backward()
        optimizer.step()
    with torch.no_grad():  # `following` is what the latents are of
        own, other = (model(ids, following=music).logits for music in (following, following.roll(1, 0)))
    assert (own.argmax(-1) == following).float().mean() > 0.95
    cost = [cross_entropy(logits.flatten(0, 1), following.flatten()) for logits in (own, other)]
    assert cost[1] - cost[0] > 1


@torch.no_grad()
def test_the_divergence_of_the_global_latent_depends_on_the_style():
    """And on nothing else of it; a style that is not known is the same as none that was told."""
    model = vae(styles=STYLES)
    assert (model.conditions, model.styles) == (("style",), STYLES)
    ids, following = windows(50, 50, 33)
    told = torch.tensor([0, 2, -1])
    found, free = (reconstruct(model, ids, following, style=style) for style in (told, None))
    torch.testing.assert_close(found.kl["global"], model.prior.kl(found.posteriors, told[:, None])["global"])
    assert ((found.kl["global"] - free.kl["global"]).abs()[:, 0] > 1e-3).tolist() == [True, True, False]
    assert torch.equal(found.kl["fine"], free.kl["fine"])
    assert torch.equal(found.logits, free.logits)
