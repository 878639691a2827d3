"""Ids that the grammar allows, drawn at random."""

import torch

from aurl.generation.constraints.mask import GrammarMask
from aurl.tokens.vocabulary import EOS


def walk(grammar, count, seed=0):
    """Legal ids that never end."""
    generator = torch.Generator().manual_seed(seed)
    mask, ids = GrammarMask(grammar, 1), []
    for _ in range(count):
        weight = (mask.bias(torch.device("cpu"))[0] == 0).float()
        weight[EOS] = 0
        ids.append(int(torch.multinomial(weight, 1, generator=generator)))
        mask.advance(0, ids[-1])
    return ids
