"""Rows that are named twice go on as two, which is what makes a beam of one piece."""

import pytest
import torch
from tests.support.attention import OPTIONS
from tests.support.latent_models import small_vae
from tests.support.legal_ids import walk

from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.context import Context
from aurl.generation.latents import PieceLatents
from aurl.model.attention import ATTENTION
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar

CODEC = Codec(parts=False, header=())
GRAMMAR = Grammar.of(CODEC, allow_zero_length=False)
CPU = torch.device("cpu")
ROWS = [1, 0, 1, 1]


def context_of(model, ids, context):
    return Context(model, context=context, prompt=ids, batch=1, device=CPU, latents=[PieceLatents(model, 3)])


@pytest.mark.parametrize("kind", ATTENTION.kinds())
@pytest.mark.parametrize("context", [32, 128], ids=["window moves", "window stays"])
def test_contexts(kind, context):
    """Two pieces become four; each is what a context of its own ids says."""
    model = small_vae(CODEC, model__pattern=(kind,), model__attention=OPTIONS)
    begin = walk(GRAMMAR, 20)
    ways = [walk(GRAMMAR, 60, seed)[20:] for seed in range(4)]
    both = Context(
        model, context=context, prompt=begin, batch=2, device=CPU, latents=[PieceLatents(model, 3) for _ in range(2)]
    )
    both.read()
    both.step([ways[0][0], ways[1][0]])
    both.keep(ROWS)
    together = [both.step([way[place] for way in ways]) for place in range(1, 40)]
    for row, (parent, way) in enumerate(zip(ROWS, ways, strict=True)):
        alone = context_of(model, begin, context)
        alone.read()
        alone.step([ways[parent][0]])
        for place in range(1, 40):
            torch.testing.assert_close(alone.step([way[place]])[0], together[place - 1][row], rtol=0, atol=1e-4)


def test_masks():
    begin = walk(GRAMMAR, 30)
    mask = GrammarMask(GRAMMAR, 2)
    mask.replay(begin)
    mask.keep([0, 0, 1])
    ways = [walk(GRAMMAR, 80, seed)[30:] for seed in range(3)]
    states = [GrammarMask(GRAMMAR, 1) for _ in ways]
    for alone in states:
        alone.replay(begin)
    for place in range(50):
        for row, (way, alone) in enumerate(zip(ways, states, strict=True)):
            legal = (alone.bias(CPU)[0] == 0).nonzero()[:, 0].tolist()
            chosen = way[place] if way[place] in legal else legal[place % len(legal)]
            mask.advance(row, chosen)
            alone.advance(0, chosen)
            assert torch.equal(mask.bias(CPU)[row], alone.bias(CPU)[0])
            assert mask.rows[row].ids == alone.rows[0].ids
