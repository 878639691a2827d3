import pytest
import torch
from tests.support.latent_models import small_vae

from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps
from aurl.generation.engine import Engine
from aurl.generation.form import Form, Sections
from aurl.generation.sampling.sampler import Sampler
from aurl.generation.source import LatentSource
from aurl.model.packing import pack_linears
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, NOTE_ON, PART, TIME_SHIFT, TIME_SIGNATURE, TIME_SIGNATURES

PLAIN = Codec(time_base="beats", parts=False)
FULL = Codec(time_base="beats", parts=True, header=("tempo", "time_signature"))
SECONDS = Codec(time_base="seconds", parts=True, header=("tempo", "time_signature", "key"))
CODECS = {"plain": PLAIN, "parts": FULL, "seconds": SECONDS}
CONTEXT = 64
BAR = 128


class Fidgety(MusicTransformerVAEGAN):
    """Waits often, for 16 or 32 steps, in 4/4: so bars have notes, and few."""

    def forward(self, ids, *, start_steps=None, cache=None):
        logits = super().forward(ids, start_steps=start_steps, cache=cache).clone()
        logits[..., TIME_SHIFT.start : TIME_SHIFT.stop] = -50
        logits[..., [TIME_SHIFT.start + 15, TIME_SHIFT.start + 31]] = 7
        logits[..., TIME_SIGNATURE.start : TIME_SIGNATURE.stop] = -50
        logits[..., TIME_SIGNATURE.start + TIME_SIGNATURES.index((4, 4))] = 0
        return logits


def sections(codec, form, *, model=None, **options):
    if model is None:
        torch.manual_seed(0)
        model = pack_linears(Fidgety(codec.vocabulary_size, 32, n_layers=2, n_heads=2).eval())
    engine = Engine(model, Grammar.of(codec, allow_zero_length=False), context=CONTEXT, sampler=Sampler())
    return Sections(engine, codec, form, **options)


def played(codec, ids):
    """(onset, duration, pitch, velocity, program, drum) of each note in steps of a beat's 32nd."""
    score = codec.decode(ids)
    scale = 32 / score.ticks_per_beat
    return sorted(
        (round(on * scale), round(long * scale), pitch, velocity, track.program, track.is_drum)
        for track in score.tracks
        for on, long, pitch, velocity in zip(
            *(getattr(track.notes, name).tolist() for name in ("onset", "duration", "pitch", "velocity")), strict=True
        )
    )


def bars_of(notes, begin, stop):
    return [(on - begin * BAR, *rest) for on, *rest in notes if begin * BAR <= on < stop * BAR]


@pytest.mark.parametrize("codec", [PLAIN, FULL], ids=["plain", "parts"])
@pytest.mark.parametrize("seed", range(3))
def test_what_comes_back_is_what_was_played(codec, seed):
    piece = sections(codec, Form("ABAB", bars=2, fresh=0)).make(seed)
    assert Grammar.of(codec, allow_zero_length=False).check(piece.ids) == []
    notes = played(codec, piece.ids)
    for first, again in ((0, 4), (2, 6)):
        assert bars_of(notes, first, first + 2)
        assert bars_of(notes, first, first + 2) == bars_of(notes, again, again + 2)
    assert bars_of(notes, 0, 2) != bars_of(notes, 2, 4)


@pytest.mark.parametrize("seed", range(3))
def test_the_last_bars_of_what_comes_back_are_new(seed):
    notes = played(PLAIN, sections(PLAIN, Form("ABA", bars=3, fresh=1)).make(seed).ids)
    first, again = bars_of(notes, 0, 3), bars_of(notes, 6, 9)
    # What is new may begin right after the last event of what is not, and notes that sound there end as they like.
    kept, heard = ([one for one in part if one[0] < 2 * BAR] for part in (first, again))
    assert kept
    assert [(on, *rest[1:]) for on, *rest in heard][: len(kept)] == [(on, *rest[1:]) for on, *rest in kept]
    last = max(on for on, *_ in kept)
    assert {one for one in kept if sum(one[:2]) <= last} <= set(heard)
    assert first != again


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("fresh", [0, 1])
def test_pieces_are_legal_and_whole(codec, fresh):
    form = Form("ABACA", bars=2, fresh=fresh)
    grammar = Grammar.of(codec, allow_zero_length=False)
    for seed in range(2):
        piece = sections(codec, form).make(seed)
        assert grammar.check(piece.ids) == []
        assert piece.ids[0] == BOS
        assert piece.ended == "length"
        assert piece.sampled > 0
        assert sum(NOTE_ON.start <= one < NOTE_ON.stop for one in piece.ids) > 5


@pytest.mark.parametrize("sections_of", ["AA", "ABA"])
def test_a_piece_lasts_as_long_as_its_form(sections_of):
    piece = sections(PLAIN, Form(sections_of, bars=2, fresh=1)).make(0)
    wanted = len(sections_of) * 2 * BAR
    assert wanted - 2 * BAR < elapsed_steps(piece.ids) <= wanted


def test_a_piece_is_a_function_of_its_seed():
    form = Form("ABA", bars=2, fresh=1)
    assert sections(PLAIN, form).make(3).ids == sections(PLAIN, form).make(3).ids
    assert sections(PLAIN, form).make(3).ids != sections(PLAIN, form).make(4).ids


def test_latents_are_told_of_what_there_is():
    model, asked = small_vae(PLAIN, packed=False), []
    model.__class__ = Fidgety

    def latents(ids):
        asked.append(list(ids))
        return LatentSource(model, context=CONTEXT, prompt=ids)

    piece = sections(PLAIN, Form("AAB", bars=2, fresh=1), model=model, latents=latents).make(0)
    assert asked[0] == [BOS]
    assert all(piece.ids[: len(ids)] == ids for ids in asked)
    assert [len(ids) for ids in asked] == sorted(len(ids) for ids in asked)
    assert len(asked) == 3


def test_parts_are_told_once():
    piece = sections(FULL, Form("ABAB", bars=2, fresh=0)).make(1)
    part = None
    body = piece.ids[piece.ids.index(next(one for one in piece.ids if NOTE_ON.start <= one < NOTE_ON.stop)) - 3 :]
    for one in body:
        if PART.start <= one < PART.stop:
            assert one != part
            part = one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sections": ""}, "no form"),
        ({"sections": "A1"}, "no form"),
        ({"sections": "AÄ"}, "no form"),
        ({"sections": "AA", "bars": 0}, "0 bars"),
        ({"sections": "AA", "bars": 2, "fresh": 2}, "made anew"),
        ({"sections": "AA", "fresh": -1}, "made anew"),
    ],
)
def test_nonsense_is_told(arguments, message):
    with pytest.raises(UsageError, match=message) as caught:
        Form(**arguments)
    assert caught.value.hint


def test_bars_must_be_known():
    with pytest.raises(UsageError, match="how long a bar is"):
        sections(Codec(time_base="seconds", parts=False, header=()), Form("AA"))


@pytest.mark.parametrize("limit", [1, 9, 30])
def test_no_more_ids_are_sampled_than_allowed_in_all_sections_together(limit):
    whole = sections(FULL, Form("ABA", bars=2, fresh=1)).make(3)
    cut = sections(FULL, Form("ABA", bars=2, fresh=1), max_tokens=limit).make(3)
    assert whole.sampled > limit
    assert (cut.sampled, cut.ended) == (limit, "tokens")
    assert Grammar.of(FULL, allow_zero_length=False).check(cut.ids) == []
    assert (whole.ended, len(cut.ids) < len(whole.ids)) == ("length", True)


@pytest.mark.parametrize(("bars", "fresh"), [(8, 2), (3, 2), (2, 1), (1, 0)])
def test_short_sections_have_shorter_second_endings(bars, fresh):
    assert Form("AA", bars=bars).fresh_bars == fresh
