from itertools import pairwise

import pytest
import torch
from tests.support.legal_ids import walk

from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.context import Context, elapsed_steps, header_length
from aurl.generation.engine import Engine
from aurl.generation.sampling.sampler import Sampler
from aurl.model.packing import PackedLinear, can_pack, pack_linears
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, PART, SEP, TIME_SHIFT, VELOCITY

CODEC = Codec(parts=False, header=("tempo",))
GRAMMAR = Grammar.of(CODEC, allow_zero_length=False)
CONTEXT = 64
ROUNDED = 1e-3
"""Steps multiply with the output layer in fp16."""


def small_model(pattern=("full",), codec=CODEC, **sizes):
    torch.manual_seed(0)
    options = {"n_layers": 2, "n_heads": 2, "attention": {"sliding_window": {"window": 16}}, **sizes}
    return pack_linears(MusicTransformerVAEGAN(codec.vocabulary_size, 32, pattern=pattern, **options).eval())


def made(model, **arguments):
    batch = Engine(model, arguments.pop("grammar", GRAMMAR), context=CONTEXT, sampler=Sampler()).start(**arguments)
    return batch, list(batch)


class Stubborn(MusicTransformerVAEGAN):
    """Wants the same ids always, the first most, as far as the grammar lets it."""

    def __init__(self, *wanted, codec=CODEC):
        super().__init__(codec.vocabulary_size, 32, n_layers=1, n_heads=2)
        self.wanted = list(wanted)
        self.eval()

    def forward(self, ids, *, start_steps=None, cache=None):
        logits = super().forward(ids, start_steps=start_steps, cache=cache)
        logits[..., self.wanted] += torch.linspace(200, 100, len(self.wanted))
        return logits


def test_events_are_the_pieces_in_the_order_of_their_making():
    batch, events = made(small_model(), seeds=[1, 2, 3], length=lambda _: 200, max_tokens=120)
    for number, piece in enumerate(batch.pieces):
        assert piece.ids == [BOS, *(event.id for event in events if event.piece == number)]
        assert piece.ids[-1] == EOS
        assert piece.ended in ("length", "tokens", "eos")
    assert [event.piece for event in events[:6]] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("pattern", [("full",), ("sliding_window",), ("sliding_window", "full")])
def test_nats_are_those_of_a_whole_pass(pattern):
    """Within the context, what the engine sums step by step is what one uncached pass says."""
    model = small_model(pattern)
    batch, _ = made(model, seeds=[4, 5], max_tokens=CONTEXT - 2)
    for piece in batch.pieces:
        ids = torch.tensor([piece.ids[: 1 + piece.sampled]])
        with torch.inference_mode():
            likelihoods = model(ids[:, :-1]).log_softmax(-1).gather(2, ids[:, 1:, None])
        assert piece.nats == pytest.approx(-likelihoods.sum().item(), rel=1e-5)


@pytest.mark.parametrize("pattern", [("full",), ("sliding_window",)])
def test_a_piece_is_the_same_in_every_batch(pattern):
    model = small_model(pattern)
    wanted = {"length": lambda _: 600, "max_tokens": 200}
    alone = [made(model, seeds=[seed], **wanted)[0].pieces[0].ids for seed in range(12)]
    for size in (2, 3, 5, 12):
        for begin in range(0, 12, size):
            batch, _ = made(model, seeds=range(begin, min(begin + size, 12)), **wanted)
            assert [piece.ids for piece in batch.pieces] == alone[begin : begin + size]


@pytest.mark.parametrize("prompt", [[BOS], walk(GRAMMAR, 30), walk(GRAMMAR, 2 * CONTEXT)], ids=len)
@pytest.mark.parametrize("pattern", [("full",), ("sliding_window", "full")])
def test_rows_that_begin_alike_go_on_as_they_would_alone(pattern, prompt):
    """What all begin with is read once for all; constraints and leaving rows change nothing about that."""
    narrow = CONSTRAINTS.build("range", CODEC, lowest=40, highest=80)
    engine = Engine(small_model(pattern), GRAMMAR, context=CONTEXT, constraints=[narrow])

    def made_by(seeds):
        batch = engine.start(prompt, seeds=seeds, length=lambda _: 3000, max_tokens=60)
        assert list(batch)
        return [piece.ids for piece in batch.pieces]

    together = made_by(range(16))
    assert len({tuple(ids) for ids in together}) == 16
    assert [made_by([seed])[0] for seed in range(6)] == together[:6]
    assert [ids for begin in (0, 3, 6) for ids in made_by(range(begin, begin + 3))] == together[:9]


@pytest.mark.parametrize("features", [(64, 192), (256, 768), (672, 256), (2048, 512), (256, 1300)])
def test_packed_products_do_not_depend_on_the_number_of_rows(features):
    weight, rows = torch.randn(*reversed(features)), torch.randn(33, features[0])
    assert can_pack(weight)
    packed = PackedLinear(weight)
    with torch.inference_mode():
        whole = packed(rows)
        torch.testing.assert_close(whole, rows @ weight.half().float().T, rtol=1e-4, atol=1e-3)
        for count in (1, 2, 3, 4, 7, 8, 15, 16, 17):
            assert torch.equal(packed(rows[:count]), whole[:count]), count


def test_early_leaving_keeps_the_others_as_they_were():
    """Pieces of very different lengths: rows leave many times, and the last one is not disturbed."""
    model = small_model()
    lengths = dict(zip(range(8), (10, 2000, 40, 80, 160, 320, 640, 1280), strict=True))

    def length_by_first_note(ids):
        return lengths[ids[1] % 8]

    batch, _ = made(model, seeds=range(16), length=length_by_first_note, may_end=False, max_tokens=300)
    for seed, piece in enumerate(batch.pieces):
        alone, _ = made(model, seeds=[seed], length=length_by_first_note, may_end=False, max_tokens=300)
        assert alone.pieces[0].ids == piece.ids
    assert len({len(piece.ids) for piece in batch.pieces}) > 4


@pytest.mark.parametrize(
    "wanted", [EOS, NOTE_ON.start + 60, NOTE_OFF.start + 60, TIME_SHIFT.stop - 1, VELOCITY.start, BOS, SEP]
)
def test_a_stubborn_model_cannot_break_the_grammar(wanted):
    for limit in ({"length": lambda _: 100}, {"length": lambda _: 100, "may_end": False}, {"max_tokens": 300}):
        batch, _ = made(Stubborn(wanted), seeds=[0, 1], **limit)
        for piece in batch.pieces:
            assert GRAMMAR.check(piece.ids) == []


def ages(ids):
    """How many ids each note sounds for."""
    begun, found, part = {}, [], 0
    for place, id_ in enumerate(ids):
        if PART.start <= id_ < PART.stop:
            part = id_
        elif id_ < NOTE_ON.stop:
            begun[part, id_] = place
        elif NOTE_OFF.start <= id_ < NOTE_OFF.stop:
            found.append(place - begun.pop((part, id_ - NOTE_OFF.start)))
    assert not begun
    return found


@pytest.mark.parametrize("codec", [CODEC, Codec()], ids=["merged", "parts"])
def test_notes_that_the_model_has_lost_sight_of_are_ended(codec):
    """A model that never ends a note: none lasts for longer than what the model can see."""
    grammar = Grammar.of(codec, allow_zero_length=False)
    model = Stubborn(*range(TIME_SHIFT.start, TIME_SHIFT.start + 8), codec=codec)
    for limit in ({"max_tokens": 400}, {"length": lambda _: 900, "may_end": False}):
        batch, events = made(model, grammar=grammar, seeds=range(3), **limit)
        for number, piece in enumerate(batch.pieces):
            assert grammar.check(piece.ids) == []
            assert max(ages(piece.ids)) < 2 * CONTEXT
            assert len(ages(piece.ids)) > 10
            assert piece.ids[1:] == [event.id for event in events if event.piece == number]


def test_may_end_decides_who_ends_a_piece():
    model = Stubborn(EOS, *range(NOTE_OFF.start, NOTE_OFF.stop))
    early, _ = made(model, seeds=[0], length=lambda _: 1000)
    filled, _ = made(model, seeds=[0], length=lambda _: 1000, may_end=False)
    assert early.pieces[0].ended == "eos"
    assert elapsed_steps(early.pieces[0].ids) < 968 <= elapsed_steps(filled.pieces[0].ids) <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("codec", [Codec(), Codec(parts=False, header=()), Codec(time_base="seconds", header=("key",))])
def test_two_hundred_untrained_pieces_without_a_fault(codec):
    grammar = Grammar.of(codec, allow_zero_length=False)
    model = small_model(codec=codec)
    batch, _ = made(model, grammar=grammar, seeds=range(200), length=lambda _: 300, max_tokens=150)
    assert [grammar.check(piece.ids) for piece in batch.pieces] == [[]] * 200
    notes = sum(codec.decode(piece.ids).note_count for piece in batch.pieces)
    assert notes == sum(id_ < NOTE_ON.stop for piece in batch.pieces for id_ in piece.ids)


def test_the_context_never_exceeds_what_was_trained():
    """Past the context, logits are those of header and last half, read as the middle of a piece."""
    model = small_model()
    ids = walk(GRAMMAR, 200)
    context = Context(model, context=CONTEXT, prompt=ids[:10], batch=1, device=torch.device("cpu"))
    logits = context.read()
    header = header_length(ids)
    begin = 0
    for length in range(10, 200):
        if length - begin + (header if begin else 0) > CONTEXT:
            begin = length - CONTEXT // 2 + header
        window = ids[:length] if begin == 0 else ids[:header] + ids[begin:length]
        start = torch.tensor([elapsed_steps(ids[:begin])])
        with torch.inference_mode():
            expected = model(torch.tensor([window]), start_steps=start)[:, -1]
        torch.testing.assert_close(logits, expected, rtol=0, atol=ROUNDED)
        logits = context.step([ids[length]])
    assert begin > CONTEXT, "the window was to move more than once"


def test_a_prompt_longer_than_the_context_is_read_by_its_end():
    model, ids = small_model(), walk(GRAMMAR, 500)
    context = Context(model, context=CONTEXT, prompt=ids, batch=3, device=torch.device("cpu"))
    header = header_length(ids)
    tail = CONTEXT // 2 - header
    with torch.inference_mode():
        window = torch.tensor([ids[:header] + ids[-tail:]])
        expected = model(window, start_steps=torch.tensor([elapsed_steps(ids[:-tail])]))[:, -1]
    torch.testing.assert_close(context.read(), expected.expand(3, -1), rtol=0, atol=1e-4)


def test_stop_ends_every_piece_whole():
    batch = Engine(small_model(), GRAMMAR, context=CONTEXT).start(seeds=range(5), length=lambda _: 100_000)
    for count, _ in enumerate(batch):
        if count == 200:
            batch.stop()
    assert {piece.ended for piece in batch.pieces} <= {"stopped", "eos"}
    assert "stopped" in {piece.ended for piece in batch.pieces}
    assert all(GRAMMAR.check(piece.ids) == [] for piece in batch.pieces)


def test_progress_grows_to_the_number_of_pieces():
    batch = Engine(small_model(), GRAMMAR, context=CONTEXT).start(seeds=range(6), length=lambda _: 500)
    seen = [batch.progress() for _ in batch]
    assert all(0 <= value <= 6 for value in seen)
    assert all(after >= before - 1e-9 for before, after in pairwise(seen))
    assert batch.progress() == batch.finished == 6
