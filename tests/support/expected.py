"""Music, and what a model might expect instead of it."""

import torch

from aurl.loss.terms import Outcome
from aurl.tokens.vocabulary import VOCABULARY_SIZE

CERTAIN = 60.0


def expecting(ids, chances=None, *, start=0):
    """An outcome of one window, told for certain but at the places where `chances` names id → probability.

    Args:
        ids: of the window.
        chances: place → {id: probability}.
        start: steps before the window.
    """
    logits = torch.full((1, len(ids), VOCABULARY_SIZE), -CERTAIN, dtype=torch.float64)
    for place, chosen in enumerate(ids):
        for told, chance in (chances or {}).get(place, {chosen: 1.0}).items():
            logits[0, place, told] = torch.tensor(chance, dtype=torch.float64).log()
    tokens = torch.tensor([ids])
    return Outcome(logits.float().requires_grad_(), tokens, tokens, start_steps=torch.tensor([start]))
