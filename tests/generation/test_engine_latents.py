"""Pieces whose model has latents: each hears its own, wherever it stands, in any batch, for as long as it goes on."""

import pytest
import torch
from tests.support.latent_models import FLAT, small_vae
from tests.support.legal_ids import walk

from aurl.generation.context import Context, elapsed_steps, header_length
from aurl.generation.engine import Engine
from aurl.generation.latents import PieceLatents
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar

CODEC = Codec(parts=False, header=("tempo",))
GRAMMAR = Grammar.of(CODEC, allow_zero_length=False)
CONTEXT = 64
SEGMENT = 32
ROUNDED = 1e-3
"""Steps multiply with the output layer in fp16."""
CPU = torch.device("cpu")


def made(model, **arguments):
    batch = Engine(model, GRAMMAR, context=CONTEXT).start(**arguments)
    for _ in batch:
        pass
    return [piece.ids for piece in batch.pieces]


@torch.inference_mode()
def uncached(model, latents, ids, dropped):
    """Logits after `ids` of which `dropped` behind the header are not seen, as a training window would have it.

    The window's first position is in the first segment whose latents it is given.
    """
    begin = header_length(ids) + dropped
    window = ids[: header_length(ids)] + ids[begin:]
    seen = {
        level.name: latents[level.name] if level.tokens is None else latents[level.name][:, dropped // level.tokens :]
        for level in model.levels
    }
    stream = model.stream(seen, torch.arange(len(window)))
    start_steps = torch.tensor([elapsed_steps(ids[:begin]) if dropped else 0])
    return model(torch.tensor([window]), start_steps=start_steps, stream=stream)[:, -1]


@pytest.mark.parametrize("options", [{}, FLAT, {"local_size": 0}])
def test_every_position_hears_its_own_latents_for_three_contexts_and_more(options):
    """The window leaves out whole segments, so that it is one that training might have shown."""
    model, ids = small_vae(CODEC, **options), walk(GRAMMAR, 250)
    segment = max((level.tokens for level in model.levels if level.tokens), default=1)
    context = Context(model, context=CONTEXT, prompt=ids[:5], batch=1, device=CPU, latents=[PieceLatents(model, 7)])
    latents = PieceLatents(model, 7).first(250 + CONTEXT)
    logits, dropped = context.read(), 0
    for length in range(5, 250):
        if length - dropped > CONTEXT:
            dropped = (length - CONTEXT // 2) // segment * segment
        torch.testing.assert_close(logits, uncached(model, latents, ids[:length], dropped), rtol=0, atol=ROUNDED)
        logits = context.step([ids[length]])
    assert dropped > 2 * CONTEXT


def test_latents_are_heard():
    """What is tested above would hold for a decoder that is deaf."""
    model = small_vae(CODEC)
    ids = walk(GRAMMAR, 40)
    logits = [uncached(model, PieceLatents(model, seed).first(64), ids, 0) for seed in (1, 2)]
    assert not torch.isclose(*logits, atol=1e-2).all()


@pytest.mark.parametrize("latents", ["hierarchical", "flat"])
def test_a_piece_is_the_same_in_every_batch(latents):
    model = small_vae(CODEC, **(FLAT if latents == "flat" else {}))
    wanted = {"length": lambda _: 600, "max_tokens": 150}
    alone = [made(model, seeds=[seed], **wanted)[0] for seed in range(6)]
    assert len({tuple(ids) for ids in alone}) == 6
    for size in (2, 3, 6):
        for begin in range(0, 6, size):
            assert made(model, seeds=range(begin, begin + size), **wanted) == alone[begin : begin + size]


def test_rows_that_leave_take_their_latents_with_them():
    """Pieces of very different lengths, each with the latents of another seed."""
    model = small_vae(CODEC)
    lengths = (10, 900, 40, 80, 600, 320)

    def length_by_first_note(ids):
        return lengths[ids[1] % 6]

    def latents(seed):
        return PieceLatents(model, 100 + seed)

    wanted = {"length": length_by_first_note, "may_end": False, "max_tokens": 200, "latents": latents}
    together = made(model, seeds=range(8), **wanted)
    assert len({len(ids) for ids in together}) > 3
    for seed, ids in enumerate(together):
        assert made(model, seeds=[seed], **wanted) == [ids]
    others = made(model, seeds=range(8), **(wanted | {"latents": None}))
    assert others != together, "without any, they are the prior's by the piece's own seed"


def test_nats_are_those_of_a_whole_pass_with_the_same_latents():
    model = small_vae(CODEC)
    batch = Engine(model, GRAMMAR, context=CONTEXT).start(seeds=[4, 5], max_tokens=CONTEXT - 2)
    for _ in batch:
        pass
    for seed, piece in zip((4, 5), batch.pieces, strict=True):
        ids = torch.tensor([piece.ids[: 1 + piece.sampled]])
        with torch.inference_mode():
            stream = model.stream(PieceLatents(model, seed).first(CONTEXT), torch.arange(ids.shape[1] - 1))
            likelihoods = model(ids[:, :-1], stream=stream).log_softmax(-1).gather(2, ids[:, 1:, None])
        assert piece.nats == pytest.approx(-likelihoods.sum().item(), rel=1e-5)
