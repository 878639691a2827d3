"""A request of a model, ready to be made: the plan, the engine, and its pieces batch after batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from aurl.generation.beam.search import Beams, BeamSearch
from aurl.generation.choices import constraints, filters, guidance, sampler, settle, told_rules
from aurl.generation.directions import Directions, load_directions
from aurl.generation.engine import Batch, Engine
from aurl.generation.form import Sections
from aurl.generation.forming import Formed
from aurl.generation.load import Loaded
from aurl.generation.plan import check_latents, make_plan
from aurl.generation.request import MAX_TOKENS, Request
from aurl.model.latents.levels import Latents
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Generation
from aurl.storage import read_json
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import STEPS_PER_BEAT

BATCH_SIZE = 16
FindDirections = Callable[[Loaded], Directions]
"""Where the directions of a model's attributes are had from."""


class Growing(NamedTuple):
    """Pieces that are made together.

    Args:
        numbers: of the pieces in the request.
        batch: to be iterated; row i is the piece numbers[i].
    """

    numbers: Sequence[int]
    batch: Batch | Beams | Formed


class Making:
    """What a request comes to with a model.

    Args:
        model: in evaluation mode.
        codec: of its ids.
        request: which pieces.
        context: the model's training length in tokens.
        defaults: what holds where the request says nothing; `max_note_beats` are at 120 BPM in time base "seconds".
        preprocess: components, what was done to the pieces that the model learnt from; done to songs too.
        dataset: what it learnt from, for constraints that look it up; None: not known.
        shift: level → (size,), what latents are moved by.

    Attributes:
        model: as it was given, like `codec` and `request`.
        plan: how all its pieces are made.
        constraints: what whole pieces are made to keep to.

    Raises:
        UsageError: a number out of range, a length that the codec cannot count in, or a wish that the model cannot
            fulfil.
        Rejected: a song cannot be used.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        codec: Codec,
        request: Request,
        *,
        context: int,
        defaults: Generation,
        preprocess: Sequence[Mapping[str, Any]] = (),
        dataset: Path | None = None,
        shift: Latents | None = None,
    ) -> None:
        self.model, self.codec, self.request = model, codec, request
        settled = settle(request, defaults, dataset)
        self.constraints = constraints(settled, codec)
        self._engine = _engine(self, settled, context)
        self.plan = make_plan(
            model, codec, request, context=context, defaults=settled, preprocess=preprocess, shift=shift
        )

    @classmethod
    def of(cls, loaded: Loaded, request: Request, *, directions: FindDirections = load_directions) -> Self:
        """By the model of a run, whose directions of attributes are looked up only if the request is about them."""
        check_latents(loaded.model, request)
        shift = directions(loaded).shift(request.more, hold=request.hold) if request.more else None
        return cls(
            loaded.model,
            loaded.codec,
            request,
            context=loaded.profile.data.seq_len,
            defaults=loaded.profile.generation,
            preprocess=loaded.preprocess,
            dataset=Path(read_json(loaded.run / "run.json")["dataset"]),
            shift=shift,
        )

    def blocks(self) -> Iterator[Iterator[Growing]]:
        """All pieces of the request, those of some seeds at a time; nothing is computed before a batch is iterated.

        A search looks at all seeds together: without latents its pieces differ in nothing but their rank.
        """
        size = BATCH_SIZE if self.request.beam is None else self.request.count
        for first in range(0, self.request.count, size):
            yield self._grow(range(first, min(first + size, self.request.count)))

    def _grow(self, block: range) -> Iterator[Growing]:
        request, gap = self.request, self.plan.gap
        if isinstance(self._engine, Engine) and request.form is not None:
            limit = request.max_tokens
            sections = Sections(self._engine, self.codec, request.form, latents=self.plan.after, max_tokens=limit)
            yield Growing(block, Formed(sections, [request.seeds[index] for index in block]))
            return
        for place, variant in enumerate(self.plan.variants):
            batch = self._engine.start(
                self.plan.begin,
                seeds=[request.seeds[index] for index in block],
                length=variant.length,
                may_end=request.may_end,
                max_tokens=min(request.max_tokens, gap.max_tokens if gap else MAX_TOKENS),
                latents=variant.latents,
                step=gap.step if gap else None,
            )
            yield Growing([index * request.places + place for index in block], batch)


def _engine(making: Making, settled: Generation, context: int) -> Engine | BeamSearch:
    request = making.request
    common: dict[str, Any] = {
        "context": context,
        "max_note_steps": round(settled.max_note_beats * STEPS_PER_BEAT) or None,
        "guidance": guidance(request, settled, making.codec),
        "constraints": [*told_rules(request, settled, making.codec), *(() if request.mend else making.constraints)],
    }
    grammar = Grammar.of(making.codec, allow_zero_length=False)
    if request.beam is None:
        return Engine(making.model, grammar, sampler=sampler(settled), **common)
    return BeamSearch(making.model, grammar, beam=request.beam, filters=filters(settled), **common)
