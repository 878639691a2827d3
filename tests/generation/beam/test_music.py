"""Beams with latents, and with the constraints that musicians ask for."""

import pytest
import torch
from tests.support.constraining import Eager
from tests.support.latent_models import small_vae
from tests.support.legal_ids import walk

from aurl.generation.beam import Beam
from aurl.generation.beam.search import BeamSearch
from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.engine import Engine
from aurl.generation.guidance import Guidance
from aurl.generation.latents import PieceLatents
from aurl.generation.sampling.sampler import Sampler
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import MASK, NOTE_ON, SEP, TEMPO, TIME_SHIFT

CODEC = Codec(parts=False, header=("tempo",))
GRAMMAR = Grammar.of(CODEC, allow_zero_length=False)
CONTEXT = 64


def found(model, beam, *, constraints=(), guidance=None, **wanted):
    finder = BeamSearch(model, GRAMMAR, beam=beam, context=CONTEXT, constraints=constraints, guidance=guidance)
    beams = finder.start(**wanted)
    for _ in beams:
        pass
    return beams.pieces


def test_each_seed_has_its_own_latents_and_its_own_search():
    model, wanted = small_vae(CODEC), {"max_tokens": 40, "length": lambda _: 300}
    together = found(model, Beam(width=3), seeds=[5, 6, 7], **wanted)
    assert len({tuple(piece.ids) for piece in together}) == 3
    for seed, piece in zip([5, 6, 7], together, strict=True):
        assert GRAMMAR.check(piece.ids) == []
        (alone,) = found(model, Beam(width=3), seeds=[seed], **wanted)
        assert (alone.ids, alone.nats) == (piece.ids, piece.nats)
        greedy = Engine(model, GRAMMAR, context=CONTEXT, sampler=Sampler(temperature=0)).start(seeds=[seed], **wanted)
        list(greedy)
        assert piece.nats / (5 + piece.sampled) <= greedy.pieces[0].nats / (5 + greedy.pieces[0].sampled) + 1e-4


def test_nats_are_those_of_a_whole_pass_with_the_same_latents():
    model = small_vae(CODEC)
    for seed, piece in enumerate(found(model, Beam(width=4), seeds=[0, 1], max_tokens=CONTEXT - 2)):
        ids = torch.tensor([piece.ids[: 1 + piece.sampled]])
        with torch.inference_mode():
            stream = model.stream(PieceLatents(model, seed).first(CONTEXT), torch.arange(ids.shape[1] - 1))
            likelihoods = model(ids[:, :-1], stream=stream).log_softmax(-1).gather(2, ids[:, 1:, None])
        assert piece.nats == pytest.approx(-likelihoods.sum().item(), rel=5e-4)


def test_latents_may_be_given():
    model = small_vae(CODEC)
    given = found(model, Beam(width=3), seeds=[0], latents=lambda seed: PieceLatents(model, 100 + seed), max_tokens=30)
    assert given[0].ids == found(model, Beam(width=3), seeds=[100], max_tokens=30)[0].ids


def test_musical_constraints_hold():
    """A scale and two voices, of a model that hears neither."""
    rules = [CONSTRAINTS.build("scale", CODEC, key="D minor"), CONSTRAINTS.build("polyphony", CODEC, voices=2)]
    pieces = found(
        Eager(CODEC.vocabulary_size),
        Beam(width=6, groups=3, diversity=3.0),
        constraints=rules,
        seeds=range(6),
        length=lambda _: 128,
        may_end=False,
        max_tokens=120,
    )
    assert len({tuple(piece.ids) for piece in pieces}) == 6
    for piece in pieces:
        assert GRAMMAR.check(piece.ids) == []
        assert {token % 12 for token in piece.ids if token < NOTE_ON.stop} <= {2, 4, 5, 7, 9, 10, 0}
        sounding = 0
        for token in piece.ids:
            sounding += (token < 128) - (128 <= token < 256)
            assert sounding <= 2
    assert sum(token < NOTE_ON.stop for piece in pieces for token in piece.ids) > 30


def greedy(model, guidance=None, **wanted):
    engine = Engine(model, GRAMMAR, context=CONTEXT, sampler=Sampler(temperature=0), guidance=guidance)
    batch = engine.start(**wanted)
    list(batch)
    return batch.pieces


def test_guidance_leads_beams_too():
    """What a beam of one finds is what guided sampling takes each time."""
    model, prompt = small_vae(CODEC), walk(GRAMMAR, 20)
    assert any(TEMPO.start <= token < TEMPO.stop for token in prompt)
    plain, guidance = Guidance(1.0, ("tempo",)), Guidance(300.0, ("tempo",))
    wanted = {"prompt": prompt, "seeds": [3], "max_tokens": 30}
    led = found(model, Beam(width=1), guidance=guidance, **wanted)[0].ids
    assert led == greedy(model, guidance, **wanted)[0].ids
    assert led != found(model, Beam(width=1), guidance=plain, **wanted)[0].ids
    assert led[:20] == prompt
    wide = found(model, Beam(width=4), guidance=guidance, **wanted)[0]
    assert GRAMMAR.check(wide.ids) == []


def test_a_span_that_is_left_out_is_searched_for():
    model = small_vae(CODEC)
    prompt = [*walk(GRAMMAR, 20), MASK, TIME_SHIFT.start + 31, SEP]
    wanted = {"prompt": prompt, "seeds": [3], "length": lambda _: 64, "step": 96, "max_tokens": 30}
    middle = found(model, Beam(width=1), **wanted)[0]
    assert middle.ids == greedy(model, **wanted)[0].ids
    assert found(model, Beam(width=4), **wanted)[0].ids[: len(prompt)] == prompt
