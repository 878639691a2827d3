"""Beam search against all pieces that there are, and against a plain search without cache or batch."""

import gc
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.support.beams import Walker, every_piece, plain_search
from tests.support.latent_models import small_vae
from tests.support.legal_ids import walk

from aurl.errors import UsageError
from aurl.generation.beam import Beam
from aurl.generation.beam.search import BeamSearch
from aurl.generation.constraints.kinds import Rule
from aurl.generation.constraints.row import FORBIDDEN
from aurl.generation.engine import Engine
from aurl.generation.sampling import FILTERS
from aurl.generation.sampling.sampler import Sampler
from aurl.model.cache import Cache
from aurl.model.packing import pack_linears
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, TIME_SHIFT, VELOCITY

CODEC = Codec(parts=False, header=())
GRAMMAR = Grammar.of(CODEC, allow_zero_length=False)
CONTEXT = 32
ROUNDED = 5e-4
"""A model that generates has weights of half the precision of one that is asked for everything at once."""
FEW = [60, 64, NOTE_OFF.start + 60, NOTE_OFF.start + 64, TIME_SHIFT.start + 7, TIME_SHIFT.start + 19, EOS]


def small_model(seed=0, codec=CODEC, spread=6.0, pattern=("full",)):
    """Untrained weights whose logits are far apart, so that it matters which ids come first."""
    torch.manual_seed(seed)
    options = {"n_layers": 2, "n_heads": 2, "attention": {"sliding_window": {"window": 16}}}
    model = MusicTransformerVAEGAN(codec.vocabulary_size, 32, pattern=pattern, **options).eval()
    with torch.no_grad():
        for table in model.embedding.parameters():
            table.mul_(spread)
    return pack_linears(model)


class Without(Rule):
    """Never these ids."""

    def __init__(self, ids):
        self.ids = np.array(ids)

    def restrict(self, row, bias):
        bias[self.ids] = FORBIDDEN


SHORT_WAITS = Without(range(TIME_SHIFT.start + 4, TIME_SHIFT.stop))


def only(ids):
    """Nothing but these ids."""
    return Without(np.setdiff1d(np.arange(CODEC.vocabulary_size), ids))


def search(model, beam, *, grammar=GRAMMAR, constraints=(), filters=(), max_note_steps=None, **wanted):
    finder = BeamSearch(
        model,
        grammar,
        beam=beam,
        context=CONTEXT,
        constraints=constraints,
        filters=filters,
        max_note_steps=max_note_steps,
    )
    beams = finder.start(**wanted)
    for _ in beams:
        pass
    return beams.pieces


def compared(piece, alpha):
    return -piece.nats / ((5 + piece.sampled) / 6) ** alpha


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("limit", [{"max_tokens": 5}, {"max_tokens": 7, "steps": 20}], ids=str)
def test_a_beam_as_wide_as_all_pieces_ranks_them_all(limit, alpha):
    model, steps, rules = small_model(3), limit.get("steps"), [only(FEW)]
    walker = Walker(model, GRAMMAR, [BOS], constraints=rules, **limit)
    expected = every_piece(walker, alpha)
    assert len(expected) > 30
    found = search(
        model,
        Beam(width=4 * len(expected), length_penalty=alpha),
        constraints=rules,
        seeds=range(len(expected)),
        length=lambda _: steps,
        max_tokens=limit["max_tokens"],
    )
    assert [compared(piece, alpha) for piece in found] == pytest.approx(
        [way.compared(alpha) for way in expected], rel=ROUNDED
    )
    assert {tuple(piece.ids): (piece.sampled, piece.ended) for piece in found} == {
        way.ids: (way.length, way.ended) for way in expected
    }


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_narrow_beams_go_the_ways_of_a_plain_search(groups, seed):
    model = small_model(seed)
    prompt = [BOS, VELOCITY.start + 3, 60, TIME_SHIFT.start + 7]
    walker = Walker(model, GRAMMAR, prompt, steps=60, max_tokens=14)
    wanted = {"width": 6, "groups": groups, "diversity": 2.0}
    expected = plain_search(walker, alpha=0.5, **wanted)
    found = search(
        model,
        Beam(length_penalty=0.5, **wanted),
        prompt=prompt,
        seeds=range(groups),
        length=lambda _: 60,
        max_tokens=14,
    )
    best = sorted((ways[0] for ways in expected), key=lambda way: -way.compared(0.5))
    assert [tuple(piece.ids) for piece in found] == list(dict.fromkeys(way.ids for way in best))
    for piece, way in zip(found, best, strict=True):
        assert piece.nats == pytest.approx(-way.score, rel=ROUNDED)


def test_groups_keep_away_from_each_other():
    """One piece for each group: the first ids are the likeliest ones, where a group may not take another's."""
    model = small_model(5)
    first = [
        piece.ids[1] for piece in search(model, Beam(width=4, groups=4, diversity=1e3), seeds=range(4), max_tokens=1)
    ]
    logits = model(torch.tensor([[BOS]]))[0, -1].clone()
    logits[EOS] = -torch.inf
    logits[NOTE_OFF.start : NOTE_OFF.stop] = -torch.inf
    logits[VELOCITY.stop :] = -torch.inf
    assert sorted(first) == sorted(logits.topk(4).indices.tolist())
    together = search(model, Beam(width=4, groups=4, diversity=0.0), seeds=range(4), max_tokens=6)
    assert len({tuple(piece.ids) for piece in together}) == 1, "without diversity all groups do the same"


def test_it_never_finds_less_than_the_likeliest_id_each_time():
    better = 0
    for seed in range(12):
        model = small_model(seed)
        greedy = Engine(model, GRAMMAR, context=CONTEXT, sampler=Sampler(temperature=0)).start(
            length=lambda _: 200, max_tokens=30
        )
        list(greedy)
        for alpha in (0.0, 1.0):
            beam = Beam(width=2 + seed % 3, length_penalty=alpha)
            (found,) = search(model, beam, length=lambda _: 200, max_tokens=30)
            assert compared(found, alpha) >= compared(greedy.pieces[0], alpha) - 1e-4
            better += compared(found, alpha) > compared(greedy.pieces[0], alpha) + 1e-4
    assert better > 6


def test_a_beam_of_one_takes_the_likeliest_id_each_time():
    model = small_model(2)
    greedy = Engine(model, GRAMMAR, context=CONTEXT, sampler=Sampler(temperature=0)).start(max_tokens=40)
    list(greedy)
    (found,) = search(model, Beam(width=1), max_tokens=40)
    assert found.ids == greedy.pieces[0].ids
    assert found.nats == pytest.approx(greedy.pieces[0].nats, rel=ROUNDED)


@pytest.mark.parametrize("pattern", [("full",), ("sliding_window",)])
def test_nats_are_those_of_a_whole_pass(pattern):
    """Pieces that took turns in the rows of the cache."""
    model = small_model(1, pattern=pattern)
    for piece in search(model, Beam(width=5), seeds=range(5), max_tokens=CONTEXT - 2):
        ids = torch.tensor([piece.ids[: 1 + piece.sampled]])
        with torch.inference_mode():
            likelihoods = model(ids[:, :-1]).log_softmax(-1).gather(2, ids[:, 1:, None])
        assert piece.nats == pytest.approx(-likelihoods.sum().item(), rel=ROUNDED)


@pytest.mark.parametrize(
    "codec", [Codec(), CODEC, Codec(time_base="seconds", header=("key",))], ids=["all", "few", "key"]
)
@pytest.mark.parametrize("wanted", [{"max_tokens": 80}, {"length": lambda _: 60, "may_end": False, "max_tokens": 200}])
def test_pieces_longer_than_the_context_keep_to_the_grammar(codec, wanted):
    grammar = Grammar.of(codec, allow_zero_length=False)
    model = small_model(codec=codec, spread=2.0)
    found = search(
        model,
        Beam(width=4, groups=2),
        grammar=grammar,
        constraints=[SHORT_WAITS],
        seeds=range(4),
        max_note_steps=64,
        **wanted,
    )
    assert len({tuple(piece.ids) for piece in found}) == 4
    for piece in found:
        assert grammar.check(piece.ids) == []
        assert piece.ended in ("eos", "length", "tokens")
    assert max(len(piece.ids) for piece in found) > CONTEXT


def test_a_prompt_is_continued():
    prompt = walk(GRAMMAR, 30)
    for piece in search(small_model(), Beam(width=3), prompt=prompt, seeds=range(3), max_tokens=20):
        assert piece.ids[:30] == prompt
        assert GRAMMAR.check(piece.ids) == []
        assert piece.sampled <= 20


class Answer(Rule):
    """After each 60 a 64, whatever is drawn, where it may begin."""

    def force(self, row, chosen):
        is_free = row.lanes[row.part][64] == 0
        return 64 if row.ids[-1] == 60 and is_free else chosen


def test_constraints_hold_in_every_beam():
    rules = [only([*FEW, 67, NOTE_OFF.start + 67]), Answer()]
    answered = 0
    for seed in range(4):
        for piece in search(
            small_model(seed), Beam(width=4), constraints=rules, seeds=range(4), length=lambda _: 100, max_tokens=60
        ):
            assert GRAMMAR.check(piece.ids) == []
            assert {token for token in piece.ids if token < NOTE_ON.stop} <= {60, 64, 67}
            sounds = set()
            for token, after in pairwise(piece.ids):
                sounds = (sounds | {token}) if token < 128 else sounds - {token - NOTE_OFF.start}
                if token == 60 and 64 not in sounds:
                    assert after == 64
                    answered += 1
            assert piece.sampled < len(piece.ids)
    assert answered > 10


def test_filters_hold_in_every_beam():
    size, times = 2, 1
    filters = [FILTERS.build("no_repeat", size=size, times=times), FILTERS.build("repetition", penalty=1.5)]
    model = small_model(4)
    for piece in search(model, Beam(width=4), filters=filters, seeds=range(4), max_tokens=60):
        pitches = [token for token in piece.ids[: 1 + piece.sampled] if token < 128]
        runs = list(pairwise(pitches))
        assert len(runs) == len(set(runs)) > 3


def test_filters_that_leave_nothing_do_not_count():
    rules = [only([60, NOTE_OFF.start + 60, TIME_SHIFT.start + 7])]
    filters = [FILTERS.build("no_repeat", size=2, times=1)]
    (found,) = search(small_model(), Beam(width=2), constraints=rules, filters=filters, max_tokens=40)
    assert GRAMMAR.check(found.ids) == []
    assert found.ids.count(60) > 2


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_a_model_without_numbers_still_plays_by_the_rules(broken):
    class Broken(MusicTransformerVAEGAN):
        def forward(self, ids, *, start_steps=None, cache=None):
            return super().forward(ids, start_steps=start_steps, cache=cache) + broken

    model = Broken(CODEC.vocabulary_size, 32, n_layers=1, n_heads=2).eval()
    for piece in search(model, Beam(width=3), seeds=range(3), length=lambda _: 50, max_tokens=40):
        assert GRAMMAR.check(piece.ids) == []


def test_more_pieces_than_the_beam_is_wide_are_refused():
    with pytest.raises(UsageError, match="width 4 does not find 5") as caught:
        search(small_model(), Beam(width=4), seeds=range(5))
    assert "5 or more" in caught.value.hint


@pytest.mark.parametrize("after", [0, 1, 40])
def test_stop_ends_every_piece_whole(after):
    beams = BeamSearch(small_model(), GRAMMAR, beam=Beam(width=4, groups=2), context=CONTEXT).start(
        seeds=range(4), length=lambda _: 100_000, may_end=False
    )
    if not after:
        beams.stop()
    for count, _ in enumerate(beams, 1):
        if count == after:
            beams.stop()
    assert len(beams.pieces) == 4
    assert len({id(piece) for piece in beams.pieces}) == 4
    for piece in beams.pieces:
        assert piece.ended == "stopped"
        assert GRAMMAR.check(piece.ids) == []
        assert piece.sampled <= after


def test_progress_grows_to_the_number_of_pieces():
    beams = BeamSearch(small_model(), GRAMMAR, beam=Beam(width=4), context=CONTEXT).start(
        seeds=range(3), length=lambda _: 120, max_tokens=300
    )
    seen = [beams.progress() for _ in beams]
    assert seen == sorted(seen)
    assert 0 < seen[len(seen) // 2] < 3
    assert beams.progress() == beams.finished == 3


def test_of_searches_that_have_ended_no_keys_and_values_are_kept():
    """Of many seeds with latents each has its own search."""
    model, codec = small_vae(), Codec()
    search = BeamSearch(model, Grammar.of(codec, allow_zero_length=False), beam=Beam(width=2), context=64)
    beams = search.start(seeds=range(3), max_tokens=4)
    assert sum(1 for _ in beams) >= 12
    assert len(beams.pieces) == 3
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Cache]
