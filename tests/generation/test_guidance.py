"""Classifier-free guidance: what two contexts of one piece say, mixed."""

import pytest
import torch
from tests.support.latent_models import small_vae

from aurl.generation.context import Context
from aurl.generation.guidance import Guidance, GuidedContext, new_context
from aurl.generation.latents import PieceLatents
from aurl.generation.pieces import make_pieces
from aurl.generation.request import Request
from aurl.generation.wishes import Wishes
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Generation
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS, CHORD, GROUPS, MASK, NOTE_OFF, SEP, TIME_SHIFT, VELOCITY

PLAIN = Codec(parts=False, header=("tempo",))
CODEC = PLAIN.with_controls(("key", "density"), chords=True, infill=False)
CONTROLS = {"controls__facts": ["key", "density"], "controls__chords": True}
TEMPO, KEY, DENSITY = (GROUPS[name].start for name in ("tempo", "key", "density"))
PROMPT = [BOS, TEMPO + 3, KEY + 2, DENSITY + 5, SEP, CHORD.start + 4, VELOCITY.start + 2, 60, TIME_SHIFT.start + 15]
CPU = torch.device("cpu")
ROUNDED = 1e-4
WISHES = Wishes(facts={"density": 6.0}, key=3, chords=(2, 9))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MusicTransformerVAEGAN(CODEC.vocabulary_size, 32, n_layers=2, n_heads=2).eval()


def by_hand(model, ids, scale, groups):
    """Logits after `ids`, of whole passes without a cache."""
    hidden = [MASK if any(GROUPS[n].start <= i < GROUPS[n].stop for n in groups) else i for i in ids]
    with torch.inference_mode():
        told, untold = (model(torch.tensor([one]))[0, -1] for one in (ids, hidden))
    return untold + scale * (told - untold)


def context_of(model, guidance, *, batch=1, size=64, latents=()):
    return new_context(model, PROMPT, guidance, context=size, batch=batch, device=CPU, latents=latents)


def test_only_what_was_asked_is_hidden():
    hidden = Guidance(2.0, ("density", "chord")).untold(PROMPT)
    assert hidden == [*PROMPT[:3], MASK, SEP, MASK, *PROMPT[6:]]
    assert Guidance(2.0, ()).untold(PROMPT) == PROMPT


@pytest.mark.parametrize("guidance", [None, Guidance(1.0, ("key",)), Guidance(2.0, ())])
def test_where_nothing_would_change_there_is_one_context(model, guidance):
    assert type(context_of(model, guidance)) is Context
    assert isinstance(context_of(model, Guidance(0.0, ("key",))), GuidedContext)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("groups", [("density",), ("key", "density", "chord")])
def test_logits_are_those_mixed_by_hand(model, scale, groups):
    """Also of chords that come while the piece grows."""
    context, ids = context_of(model, Guidance(scale, groups)), list(PROMPT)
    logits = context.read()
    for chosen in (NOTE_OFF.start + 60, CHORD.start + 9, VELOCITY.start + 4, 64):
        assert torch.allclose(logits[0], by_hand(model, ids, scale, groups), atol=ROUNDED)
        ids.append(chosen)
        logits = context.step([chosen])
    assert torch.allclose(logits[0], by_hand(model, ids, scale, groups), atol=ROUNDED)
    assert not torch.allclose(logits[0], by_hand(model, ids, 1.0, groups), atol=10 * ROUNDED)


def test_both_contexts_slide_together(model):
    """Read anew in the middle of a piece, both without the same ids."""
    context, ids = context_of(model, Guidance(3.0, ("density", "chord")), size=16), list(PROMPT)
    context.read()
    for number in range(20):
        chosen = (60 + number, NOTE_OFF.start + 60 + number, CHORD.start + number)[number % 3]
        ids.append(chosen)
        logits = context.step([chosen])
    [begin] = context.begins
    assert begin > 0
    elapsed = torch.tensor([sum(i - TIME_SHIFT.start + 1 for i in ids[:begin] if TIME_SHIFT.start <= i < 768)])
    windows = [[*one[:5], *one[begin:]] for one in (ids, Guidance(3.0, ("density", "chord")).untold(ids))]
    with torch.inference_mode():
        told, untold = (model(torch.tensor([one]), start_steps=elapsed)[0, -1] for one in windows)
    assert torch.allclose(logits[0], untold + 3.0 * (told - untold), atol=10 * ROUNDED)


def test_kept_rows_go_on_in_both(model):
    contexts = [context_of(model, Guidance(2.0, ("chord",)), batch=size) for size in (3, 1)]
    for context in contexts:
        context.read()
    contexts[0].step([60, CHORD.start + 1, CHORD.start + 2])
    contexts[0].keep([2, 0])
    contexts[1].step([CHORD.start + 2])
    rows = contexts[0].step([70, 71])
    assert torch.allclose(rows[0], contexts[1].step([70])[0], atol=ROUNDED)


def pieces(model, codec, **options):
    request = Request(**{"seed": 3, "seconds": 4.0, "wishes": WISHES, "max_tokens": 150, **options})
    return make_pieces(model, codec, request, context=64, defaults=Generation())


def bytes_of(made):
    return [(piece.ids.tobytes(), piece.nats) for piece in made]


@pytest.mark.parametrize("mode", ["transformer", "vae"])
def test_guidance_of_one_changes_no_byte_and_any_other_does(model, mode):
    made_by = model if mode == "transformer" else small_vae(PLAIN, **CONTROLS)
    plain = bytes_of(pieces(made_by, CODEC))
    assert bytes_of(pieces(made_by, CODEC, guidance=1.0)) == plain
    assert bytes_of(pieces(made_by, CODEC, guidance=3.0)) != plain


@pytest.mark.parametrize("mode", ["transformer", "vae"])
def test_a_guided_row_alone_is_a_row_in_a_batch(model, mode):
    made_by = model if mode == "transformer" else small_vae(PLAIN, **CONTROLS)
    together = pieces(made_by, CODEC, count=4, guidance=2.5)
    alone = [pieces(made_by, CODEC, seed=3 + number, guidance=2.5)[0] for number in range(4)]
    assert [one.ids.tolist() for one in alone] == [one.ids.tolist() for one in together]
    assert len({one.ids.tobytes() for one in together}) == 4


def test_both_contexts_hear_the_latents_of_the_piece():
    model = small_vae(PLAIN, packed=False, **CONTROLS)
    latents = [PieceLatents(model, 7)]
    context = context_of(model, Guidance(2.0, ("density",)), latents=latents)
    told, untold = (
        Context(model, context=64, prompt=prompt, batch=1, device=CPU, latents=[PieceLatents(model, 7)])
        for prompt in (PROMPT, Guidance(2.0, ("density",)).untold(PROMPT))
    )
    one, other = told.read(), untold.read()
    assert torch.allclose(context.read(), other + 2.0 * (one - other), atol=ROUNDED)


def test_what_was_told_sounds_louder():
    """A model that likes a pitch if it is told a density, and guidance that exaggerates it."""

    class Listening(MusicTransformerVAEGAN):
        def forward(self, ids, *, start_steps=None, cache=None):
            logits = super().forward(ids, start_steps=start_steps, cache=cache)
            if ids.shape[1] > 1:
                self.hears = ((ids >= DENSITY) & (ids < DENSITY + 8)).any(1, keepdim=True)
            logits[..., 71] += 3.0 * self.hears
            return logits

    torch.manual_seed(0)
    likes = Listening(CODEC.vocabulary_size, 32, n_layers=1, n_heads=2).eval()
    gained = [context_of(likes, Guidance(scale, ("density",))).read()[0, 71] for scale in (0.0, 1.0, 2.0)]
    assert float(gained[1] - gained[0]) == pytest.approx(float(gained[2] - gained[1]), abs=0.01)
    assert float(gained[1] - gained[0]) > 2.0
