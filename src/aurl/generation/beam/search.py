"""Pieces that a model thinks likely, found by growing several at once and dropping the worst."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from aurl.errors import UsageError
from aurl.generation.beam.growth import Growth, Task
from aurl.generation.beam.settings import Beam
from aurl.generation.constraints.kinds import Constraint
from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.context import header_length
from aurl.generation.engine import LatentsOfSeed, LengthRule, Made
from aurl.generation.guidance import Guidance, new_context
from aurl.generation.latents import PieceLatents
from aurl.generation.request import MAX_TOKENS
from aurl.generation.sampling.kinds import Filter
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS


class BeamSearch:
    """Finds pieces that a model thinks likely; what `Engine` is to sampling.

    Args:
        model: in evaluation mode, on the device where it is to run.
        grammar: of the model's ids; every piece keeps to it.
        beam: how wide, and how pieces are compared.
        context: most ids that the model may see at once, its training length.
        max_note_steps: notes that last so long are ended; None: no limit.
        constraints: what pieces keep to beside the grammar.
        filters: what changes the log-likelihoods of ids before pieces are compared by their sums.
        guidance: how strongly pieces are drawn to what was asked; None: as the model is.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        grammar: Grammar,
        *,
        beam: Beam,
        context: int = 1024,
        max_note_steps: int | None = None,
        constraints: Sequence[Constraint] = (),
        filters: Sequence[Filter] = (),
        guidance: Guidance | None = None,
    ) -> None:
        self._model, self._grammar, self._beam = model, grammar, beam
        self._context, self._max_note_steps = context, max_note_steps
        self._constraints, self._filters, self._guidance = constraints, filters, guidance

    def start(
        self,
        prompt: Sequence[int] = (BOS,),
        *,
        seeds: Sequence[int] = (0,),
        length: LengthRule | None = None,
        may_end: bool = True,
        max_tokens: int = MAX_TOKENS,
        latents: LatentsOfSeed | None = None,
        step: int | None = None,
    ) -> "Beams":
        """Pieces that all begin with `prompt`, one for each seed; nothing is computed before they are iterated.

        With latents each seed has its own, and its own search, and gets the best piece of it. Without, nothing depends
        on the seed: they get the best pieces of one search, first the best of each group. Arguments are those of
        `Engine.start`.

        Raises:
            UsageError: more pieces of one search than it is wide.
        """
        if latents is None and self._model.levels:
            latents = partial(PieceLatents, self._model)
        if latents is None and len(seeds) > self._beam.width:
            raise UsageError(
                f"a beam of width {self._beam.width} does not find {len(seeds)} pieces",
                hint=f"search with a width of {len(seeds)} or more, or ask for fewer pieces",
            )
        task = Task(list(prompt), length, may_end, max_tokens, self._max_note_steps, self._beam, self._filters)
        wanted = [[latents(seed)] for seed in seeds] if latents else [[]]
        return Beams([self._growth(task, one, step) for one in wanted], count=len(seeds))

    def _growth(self, task: Task, latents: list[PieceLatents], step: int | None) -> Growth:
        prompt, device = task.prompt, next(self._model.parameters()).device
        mask = GrammarMask(self._grammar, 1, self._constraints)
        mask.replay(prompt if step is None else prompt[: header_length(prompt)], step=step)
        context = new_context(
            self._model, prompt, self._guidance, context=self._context, batch=1, device=device, latents=latents
        )
        return Growth(context, mask, task, device)


class Beams:
    """One search after the other; iterate until they end, then look at `pieces`. Made by `BeamSearch.start`.

    Args:
        searches: at least one.
        count: how many pieces are wanted: as many as there are searches, or any number of one.

    Attributes:
        pieces: those that were found; none until the searches have ended.
    """

    def __init__(self, searches: Sequence[Growth], *, count: int) -> None:
        self._searches, self._each = searches, count // len(searches)
        self._progress = 0.0
        self.pieces: list[Made] = []

    def __iter__(self) -> Iterator[None]:
        """Nothing, for each id that was tried."""
        for search in self._searches:
            yield from search
        for search in self._searches:
            found = search.best(self._each)
            # A search that was stopped at once has found fewer pieces than it is wide.
            places = (place % len(found) for place in range(self._each))
            self.pieces += [replace(found[place], ids=list(found[place].ids)) for place in places]

    @property
    def finished(self) -> int:
        """How many pieces are found."""
        return self._each * sum(search.ended for search in self._searches)

    def progress(self) -> float:
        """How many pieces' worth of searching is done; it never falls, though a beam may go back in the music."""
        self._progress = max(self._progress, self._each * sum(search.progress() for search in self._searches))
        return self._progress

    def stop(self) -> None:
        """End every piece at the next step, whole."""
        for search in self._searches:
            search.stopping = True
