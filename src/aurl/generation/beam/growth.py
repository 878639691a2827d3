"""One beam search.

It goes through the same context, grammar and constraints as sampling, and nothing in it is drawn. A piece that ends
leaves the beam, which is one narrower from then on (Sutskever et al., NeurIPS 2014): no piece is lost because others
were likelier when they were as long, and the search comes to an end.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aurl.generation.beam.found import Child, Found, Growing
from aurl.generation.beam.settings import Beam
from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.context import Context
from aurl.generation.ending import end_at_length
from aurl.generation.engine import LengthRule, Made
from aurl.generation.guidance import GuidedContext
from aurl.generation.sampling.kinds import Filter
from aurl.tokens.rules import Stage
from aurl.tokens.vocabulary import EOS, MAX_SHIFT_STEPS, TIME_SHIFT

LEAST = -1e4
"""Log-likelihood of what a model calls impossible or says no number about: below all that it means, and comparable."""
FREE_IDS, PENALTY_UNIT = 5, 6
"""Of the length penalty ((5 + n) / 6)^α; Wu et al. 2016, equation 14."""
SHIFTS = slice(TIME_SHIFT.start, TIME_SHIFT.stop)


@dataclass(frozen=True)
class Task:
    """What all searches of a request have in common; see `BeamSearch`."""

    prompt: list[int]
    length: LengthRule | None
    may_end: bool
    max_tokens: int
    max_note_steps: int | None
    beam: Beam
    filters: Sequence[Filter]


class Growth:
    """One beam; iterate until it ends.

    Args:
        context: of one row that has read nothing yet.
        mask: of one row that has taken the prompt.
        task: what is searched for.
        device: where the context computes.

    Attributes:
        stopping: it is to end at its next step.
        ended: it has ended.
    """

    def __init__(self, context: Context | GuidedContext, mask: GrammarMask, task: Task, device: torch.device) -> None:
        self._context, self._mask, self._task, self._device = context, mask, task, device
        self._growing = [Growing(Made(list(task.prompt)), is_greedy=True)]
        self._found = [Found(task.beam.width // task.beam.groups) for _ in range(task.beam.groups)]
        self.stopping = self.ended = False

    def __iter__(self) -> Iterator[None]:
        """Nothing, for each id that was tried."""
        if self._mask.rows[0].stage >= Stage.BODY:
            self._limit(0, self._task.prompt)
        logits = None if self.stopping else self._begin()
        while logits is not None and not self.stopping:
            children = self._children(logits)
            logits = self._take(children)
            yield from (None for _ in children)
        for row, one in enumerate(self._growing):
            one.piece.ids += self._mask.closing(row)
            one.piece.ended = "stopped"
            self._finish(one)
        self.ended = True
        del self._context  # keys and values; the next search needs room for its own

    def best(self, count: int) -> list[Made]:
        """At most so many pieces: the best of each group, then the second of each, and so on."""
        ranks = [(rank, -score, made) for found in self._found for rank, (score, made) in enumerate(found.ranked())]
        order = sorted(ranks, key=lambda rank: rank[:2])
        different = {tuple(made.ids): made for _, _, made in reversed(order)}
        return [made for _, _, made in order if different[tuple(made.ids)] is made][:count]

    def progress(self) -> float:
        """Share of the search that is done."""
        if self.ended:
            return 1.0
        found = sum(len(found.pieces) for found in self._found)
        return (found + sum(row.share for row in self._mask.rows)) / (found + len(self._mask.rows))

    def _begin(self) -> Tensor:
        """Read the prompt once, and let each group begin with it."""
        logits = self._context.read()
        rows = [0] * self._task.beam.groups
        self._mask.keep(rows)
        self._context.keep(rows)
        root = self._growing[0]
        self._growing = [replace(root.copy(), group=group, is_greedy=group == 0) for group in range(len(rows))]
        return logits[rows]

    def _children(self, logits: Tensor) -> list[Child]:
        """The ways on that are gone, each in the row that it comes from where that is possible."""
        own, scores = self._likelihoods(logits)
        likeliest = scores.argmax(-1)
        self._join_endings(own, scores)
        # An ending for which another one stands does not stand itself.
        stands = scores.gather(1, likeliest[:, None])[:, 0].isfinite()
        greedy = torch.where(stands, likeliest, scores.argmax(-1)).tolist()
        taken: Counter[int] = Counter()
        children: list[Child] = []
        for group in range(self._task.beam.groups):
            grown = self._grow(group, scores, greedy, taken)
            taken.update(child.id for child in grown)
            children += grown
        children = _placed(children)
        rows, ids = [child.row for child in children], [child.id for child in children]
        values = zip(children, own[rows, ids].tolist(), scores[rows, ids].tolist(), strict=True)
        return [child._replace(score=mine if child.is_given else score, nats=-mine) for child, mine, score in values]

    def _likelihoods(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, V)` log-likelihoods of all ids by the model itself, and what they are chosen by, −inf if illegal."""
        own = logits.float().log_softmax(-1).nan_to_num(nan=LEAST, neginf=LEAST).clamp(min=LEAST)
        scores = legal = own + self._mask.bias(self._device)
        if self._task.filters:
            histories = [one.piece.ids for one in self._growing]
            for change in self._task.filters:
                scores = change(scores, histories)
            scores = torch.where(scores.isfinite().any(-1, keepdim=True), scores, legal)
        return own, scores

    def _join_endings(self, own: Tensor, scores: Tensor) -> None:
        """Let the likeliest TIME_SHIFT that ends a piece stand for all of them, which lead to the same; in place."""
        lefts = [row.left for row in self._mask.rows]
        if min(lefts) > MAX_SHIFT_STEPS:
            return
        left = torch.tensor(lefts, device=self._device)[:, None]
        steps = torch.arange(1, MAX_SHIFT_STEPS + 1, device=self._device)
        ends = (steps >= left) & scores[:, SHIFTS].isfinite()  # (B, 512)
        best = scores[:, SHIFTS].masked_fill(~ends, -torch.inf).argmax(-1, keepdim=True)
        stands = ends & (steps - 1 == best)
        for table in (own, scores):
            joined = table[:, SHIFTS].masked_fill(~ends, -torch.inf).logsumexp(-1, keepdim=True)
            table[:, SHIFTS] = torch.where(stands, joined, table[:, SHIFTS])
        scores[:, SHIFTS] = scores[:, SHIFTS].masked_fill(ends & ~stands, -torch.inf)

    def _grow(self, group: int, scores: Tensor, likeliest: list[int], taken: Counter[int]) -> list[Child]:
        """The ways on of one group; `taken`: how often ids were taken in this step by the groups before."""
        rows = [row for row, one in enumerate(self._growing) if one.group == group]
        if not rows:
            return []
        ways = [(row, likeliest[row], True) for row in rows if self._growing[row].is_greedy]
        room = self._found[group].room
        ways += [(row, chosen, False) for row, chosen in self._ordered(rows, scores[rows], room, taken)]
        children: dict[tuple[int, int], Child] = {}
        for row, chosen, is_greedy in ways:
            token, is_given = self._given(row, chosen)
            children.setdefault((row, token), Child(row, token, is_given, is_greedy))
            if len(children) == room:
                break
        return list(children.values())

    def _ordered(self, rows: list[int], scores: Tensor, room: int, taken: Counter[int]) -> list[tuple[int, int]]:
        """Rows and ids, best first, as far as they can have room; `scores` `(n, V)` are those of the rows."""
        if taken:
            weight = torch.tensor(list(taken.values()), device=self._device, dtype=scores.dtype)
            scores[:, list(taken)] -= self._task.beam.diversity * weight
        values, ids = scores.topk(min(room, scores.shape[1]))
        ways = [
            (-self._growing[row].score - value, row, chosen)
            for row, of_row, tokens in zip(rows, values.tolist(), ids.tolist(), strict=True)
            for value, chosen in zip(of_row, tokens, strict=True)
            if value > -torch.inf
        ]
        return [(row, chosen) for _, row, chosen in sorted(ways)]

    def _given(self, row: int, chosen: int) -> tuple[int, bool]:
        """The id that is taken where this one is chosen, and whether it was given as in `Batch`."""
        begin, longest = self._context.begins[row], self._task.max_note_steps
        released = self._mask.release(row, begin, longest) if begin or longest else None
        token = self._mask.forced(row, chosen) if released is None else released
        return token, token != chosen or released is not None

    def _take(self, children: list[Child]) -> Tensor | None:
        """Go these ways; logits of the pieces that still grow, None where there are none."""
        parents, ids = [child.row for child in children], [child.id for child in children]
        self._mask.keep(parents)
        before, self._growing = self._growing, []
        to_come, stay = Counter(parents), []
        for row, child in enumerate(children):
            to_come[child.row] -= 1
            one = before[child.row].copy() if to_come[child.row] else before[child.row]
            one.take(child)
            self._add(row, one.piece, child.id)
            if one.piece.ended:
                self._finish(one)
            else:
                self._growing.append(one)
                stay.append(row)
        if not stay:
            return None
        self._mask.keep(stay)
        self._context.keep([parents[row] for row in stay])
        return self._context.step([ids[row] for row in stay])

    def _add(self, row: int, piece: Made, chosen: int) -> None:
        """Take one id of the row, and find out whether it ends the piece."""
        if self._mask.overruns(row, chosen):
            end_at_length(self._mask, row, piece.ids)
            piece.ended = "length"
            return
        piece.ids.append(chosen)
        self._mask.advance(row, chosen)
        if chosen == EOS:
            piece.ended = "eos"
        elif piece.sampled >= self._task.max_tokens:
            piece.ids += self._mask.closing(row)
            piece.ended = "tokens"
        elif self._mask.rows[row].stage == Stage.BODY:
            self._limit(row, piece.ids)

    def _limit(self, row: int, ids: Sequence[int]) -> None:
        steps = None if self._task.length is None else self._task.length(ids)
        self._mask.end_after(row, steps, may_end=self._task.may_end)

    def _finish(self, one: Growing) -> None:
        penalty = ((FREE_IDS + one.length) / PENALTY_UNIT) ** self._task.beam.length_penalty
        self._found[one.group].add(one.score / penalty, one.piece)


def _placed(children: list[Child]) -> list[Child]:
    """The first child of each row in its row, and others where one is free: what stays need not be copied."""
    stays: dict[int, Child] = {}
    moves = [
        child for child in children if child.row >= len(children) or stays.setdefault(child.row, child) is not child
    ]
    return [stays[place] if place in stays else moves.pop() for place in range(len(children))]
