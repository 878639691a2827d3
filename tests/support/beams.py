"""Beam search in plain Python: no cache, no batch, every piece read anew for each of its ids."""

import math
from collections import Counter
from typing import NamedTuple

import torch

from aurl.generation.constraints.mask import GrammarMask
from aurl.tokens.vocabulary import EOS, TIME_SHIFT

CPU = torch.device("cpu")


class Way(NamedTuple):
    """Ids so far, their log-likelihood, how many are new; and how the piece ends, if it has."""

    ids: tuple[int, ...]
    score: float = 0.0
    length: int = 0
    ended: str = ""

    def compared(self, alpha: float) -> float:
        return self.score / ((5 + self.length) / 6) ** alpha


class Walker:
    """The ways on from a piece.

    Args:
        model: in evaluation mode.
        grammar: of its ids.
        prompt: what pieces begin with, its header complete.
        steps: how long the new music may become, None for any length.
        max_tokens: most new ids.
        constraints: beside the grammar.
    """

    def __init__(self, model, grammar, prompt, *, steps=None, max_tokens=1000, constraints=()):
        self.model, self.grammar, self.prompt, self.steps = model, grammar, list(prompt), steps
        self.max_tokens, self.constraints = max_tokens, constraints

    def on(self, way: Way) -> list[tuple[int, Way]]:
        """Every legal id and where it leads. Waits that reach the end lead to the same, so they are one way."""
        mask = GrammarMask(self.grammar, 1, self.constraints)
        mask.replay(self.prompt)
        mask.end_after(0, self.steps, may_end=True)
        for chosen in way.ids[len(self.prompt) :]:
            mask.advance(0, chosen)
        with torch.inference_mode():
            likelihoods = self.model(torch.tensor([way.ids]))[0, -1].double().log_softmax(-1).tolist()
        legal = torch.isfinite(mask.bias(CPU)[0]).nonzero()[:, 0].tolist()
        waits = [chosen for chosen in legal if mask.overruns(0, chosen)]
        ways = [
            (chosen, self._after(way, mask, chosen, likelihoods[chosen])) for chosen in legal if chosen not in waits
        ]
        if waits:
            chance = sum(math.exp(likelihoods[chosen]) for chosen in waits)
            likeliest = max(waits, key=lambda chosen: likelihoods[chosen])
            ways.append((likeliest, self._at_the_end(way, mask, math.log(chance))))
        return ways

    def _after(self, way: Way, mask: GrammarMask, chosen: int, likelihood: float) -> Way:
        ids, length = (*way.ids, chosen), way.length + 1
        if chosen == EOS:
            return Way(ids, way.score + likelihood, length, "eos")
        if length < self.max_tokens:
            return Way(ids, way.score + likelihood, length)
        whole = GrammarMask(self.grammar, 1, self.constraints)
        whole.replay(self.prompt)
        whole.end_after(0, self.steps, may_end=True)
        for one in ids[len(self.prompt) :]:
            whole.advance(0, one)
        return Way((*ids, *whole.closing(0)), way.score + likelihood, length, "tokens")

    def _at_the_end(self, way: Way, mask: GrammarMask, likelihood: float) -> Way:
        ids = list(way.ids)
        if mask.rows[0].begun:
            ids.append(TIME_SHIFT.start + mask.rows[0].left - 1)
            mask.advance(0, ids[-1])
            ids += mask.closing(0)
        else:
            while TIME_SHIFT.start <= ids[-1] < TIME_SHIFT.stop:
                ids.pop()
            ids.append(EOS)
        return Way(tuple(ids), way.score + likelihood, way.length + 1, "length")


def every_piece(walker: Walker, alpha: float) -> list[Way]:
    """All pieces that there are, best first, each by the best way that leads to it."""
    ended, growing = {}, [Way(tuple(walker.prompt))]
    while growing:
        for _, way in walker.on(growing.pop()):
            if not way.ended:
                growing.append(way)
            elif way.ids not in ended or way.compared(alpha) > ended[way.ids].compared(alpha):
                ended[way.ids] = way
    return sorted(ended.values(), key=lambda way: -way.compared(alpha))


def plain_search(walker: Walker, *, width: int, groups: int = 1, diversity: float = 0.0, alpha: float = 1.0):
    """For each group the pieces that it finds, best first (Vijayakumar et al., AAAI 2018, algorithm 1).

    A piece that ends takes its place in the group with it; that which takes the likeliest id each time always stays.
    """
    growing = [[Way(tuple(walker.prompt))] for _ in range(groups)]
    ended = [{} for _ in range(groups)]
    greedy = tuple(walker.prompt)
    while any(growing):
        taken = Counter()
        for group in range(groups):
            ways = [(way.ids, chosen, after) for way in growing[group] for chosen, after in walker.on(way)]
            ways.sort(key=lambda found: -(found[2].score - diversity * taken[found[1]]))
            first = [found for found in ways if group == 0 and found[0] == greedy]
            ways = sorted(first, key=lambda found: -found[2].score)[:1] + ways
            kept = list(dict.fromkeys(ways))[: width // groups - len(ended[group])]
            greedy = kept[0][2].ids if first else greedy
            growing[group] = [after for _, _, after in kept if not after.ended]
            ended[group] |= {after.ids: after for _, _, after in kept if after.ended}
            taken_now = [chosen for _, chosen, _ in kept]
            taken.update(taken_now)
    return [sorted(found.values(), key=lambda way: -way.compared(alpha)) for found in ended]
