"""The incremental mask against the grammar itself, over random walks, real-like pieces and every codec."""

from itertools import product

import numpy as np
import pytest
import torch

from aurl.generation.constraints.mask import END_MARGIN_STEPS, GrammarMask
from aurl.midi.score import Notes, Score, Track
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.rules import Stage
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, PART, TIME_SHIFT, VELOCITY

CPU = torch.device("cpu")
CODECS = [Codec(parts=parts, header=header) for parts, header in product((False, True), ((), ("tempo", "key")))]
WALKS = 4
STEPS = 500


def weights(vocabulary_size):
    """Notes and short waits likelier, so that walks sound like something and notes pile up."""
    weight = np.full(vocabulary_size, 1.0)
    weight[:128] = 4
    weight[128:256] = 20
    weight[TIME_SHIFT.start : TIME_SHIFT.start + 40] = 10
    weight[TIME_SHIFT.stop - 1] = 60
    weight[PART.start : PART.stop] = 8
    weight[EOS] = 0.01
    return weight


def allowed(mask):
    return mask.bias(CPU).numpy() == 0


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: f"parts={codec.parts} header={len(codec.header)}")
@pytest.mark.parametrize("zero_length", [False, True])
def test_equals_the_grammar_over_random_walks(codec, zero_length):
    rng = np.random.default_rng(codec.vocabulary_size + zero_length)
    grammar = Grammar.of(codec, allow_zero_length=zero_length)
    state, mask = grammar.start(WALKS), GrammarMask(grammar, WALKS)
    weight = weights(codec.vocabulary_size)
    seen = set()
    for _ in range(STEPS):
        expected = grammar.mask(state)
        np.testing.assert_array_equal(allowed(mask), expected)
        ids = [rng.choice(len(weight), p=weight * row / (weight * row).sum()) for row in expected]
        grammar.advance(state, ids)
        for row, chosen in enumerate(ids):
            mask.advance(row, int(chosen))
        seen.update(state.stage.tolist())
    assert seen >= {Stage.WAITED, Stage.WAITING, Stage.RELEASED, Stage.STRUCK, Stage.LEVEL}
    assert not codec.parts or seen >= {Stage.DECLARED, Stage.RELEASING_PART, Stage.STRIKING_PART}


def score_with_zero_length_notes():
    rng = np.random.default_rng(0)
    tracks = []
    for program in (0, 40, 0):
        onset = np.sort(rng.integers(0, 480 * 32, 150))
        duration = np.where(rng.random(150) < 0.2, 0, rng.integers(0, 960, 150))
        pitch, velocity = rng.integers(40, 60, 150), rng.integers(1, 128, 150)
        tracks.append(Track(Notes(onset, duration, pitch, velocity).ordered(), program=program))
    return Score(tracks=tuple(tracks))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: f"parts={codec.parts} header={len(codec.header)}")
def test_equals_the_grammar_along_encoded_pieces(codec):
    ids = codec.encode(score_with_zero_length_notes()).ids.tolist()
    sampling, data = Grammar.of(codec, allow_zero_length=False), Grammar.of(codec)
    mask, state = GrammarMask(sampling, 1), data.start(1)
    zero_length = 0
    for chosen in ids:
        expected = data.mask(state)
        found = allowed(mask)
        zero_length += not found[0, chosen]
        expected[:, NOTE_OFF.start : NOTE_OFF.stop] &= found[:, NOTE_OFF.start : NOTE_OFF.stop]
        np.testing.assert_array_equal(found, expected)
        mask.advance(0, chosen)
        data.advance(state, [chosen])
    assert zero_length > 20, "the piece was to have notes that sampling would not write"


def test_replay_equals_advancing_every_row():
    codec = CODECS[-1]
    ids = codec.encode(score_with_zero_length_notes()).ids.tolist()[:400]
    grammar = Grammar.of(codec, allow_zero_length=False)
    replayed, advanced = GrammarMask(grammar, 3), GrammarMask(grammar, 3)
    replayed.replay(ids)
    for row, chosen in product(range(3), ids):
        advanced.advance(row, chosen)
    np.testing.assert_array_equal(replayed.bias(CPU), advanced.bias(CPU))
    assert [row.step for row in replayed.rows] == [row.step for row in advanced.rows]


def test_kept_rows_go_on_as_before():
    grammar = Grammar.of(CODECS[0], allow_zero_length=False)
    mask = GrammarMask(grammar, 3)
    for row in range(3):
        for chosen in (BOS, 60 + row):
            mask.advance(row, chosen)
    before = mask.bias(CPU).clone()
    mask.keep([2, 0])
    np.testing.assert_array_equal(mask.bias(CPU), before[[2, 0]])
    mask.advance(0, 70)
    np.testing.assert_array_equal(mask.bias(CPU)[1], before[0])


def without_silence(ids):
    while TIME_SHIFT.start <= ids[-1] < TIME_SHIFT.stop:
        ids = ids[:-1]
    return ids


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: f"parts={codec.parts} header={len(codec.header)}")
@pytest.mark.parametrize("steps", [1, 2, 100, 700])
@pytest.mark.parametrize("may_end", [False, True])
def test_a_limited_walk_ends_in_time_and_whole(codec, steps, may_end):
    grammar = Grammar.of(codec, allow_zero_length=False)
    rng = np.random.default_rng(steps)
    weight = weights(codec.vocabulary_size)
    for _ in range(5):
        mask, ids = GrammarMask(grammar, 1), []
        while not ids or (mask.rows[0].left > 0 and ids[-1] != EOS):
            now = allowed(mask)[0]
            assert now.any()
            chosen = int(rng.choice(len(weight), p=weight * now / (weight * now).sum()))
            if mask.overruns(0, chosen):
                if not mask.rows[0].begun:
                    ids = [*without_silence(ids), EOS]
                    break
                chosen = TIME_SHIFT.start + mask.rows[0].left - 1
            ids.append(chosen)
            mask.advance(0, chosen)
            if mask.rows[0].stage == Stage.BODY and mask.rows[0].end_step is None:
                mask.end_after(0, steps, may_end=may_end)
            if len(ids) > 3000:
                break
        if ids[-1] != EOS:
            ids += mask.closing(0)
        assert grammar.check(ids) == []
        length = sum(i - TIME_SHIFT.start + 1 for i in ids if TIME_SHIFT.start <= i < TIME_SHIFT.stop)
        assert length <= steps
        if not may_end:
            assert length >= steps - END_MARGIN_STEPS


def test_closing_ends_what_sounds():
    codec = CODECS[0]
    grammar = Grammar.of(codec, allow_zero_length=False)
    mask = GrammarMask(grammar, 1)
    ids = [BOS, *([EOS + 2] if codec.header else []), 768 + 3, 60, 64, TIME_SHIFT.start + 9, 128 + 60, 62]
    for chosen in ids:
        mask.advance(0, chosen)
    closing = mask.closing(0)
    assert grammar.check(ids + closing) == []
    assert sorted(i for i in closing if NOTE_OFF.start <= i < NOTE_OFF.stop) == [128 + 62, 128 + 64]


def test_a_note_that_lasts_too_long_is_ended_at_the_next_place_where_notes_may_end():
    mask = GrammarMask(Grammar(vocabulary_size=779, parts=False, header=()), 1)
    mask.replay([BOS, VELOCITY.start, NOTE_ON.start + 60, TIME_SHIFT.start + 31, NOTE_ON.start + 64])
    assert mask.release(0, 0, 64) is None
    mask.advance(0, TIME_SHIFT.start + 30)
    assert mask.release(0, 0, 64) is None
    mask.advance(0, NOTE_OFF.start + 64)
    mask.advance(0, TIME_SHIFT.start)
    assert mask.release(0, 0, 65) is None
    assert mask.release(0, 0, 64) == NOTE_OFF.start + 60
