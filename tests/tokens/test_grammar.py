import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import scores

from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.grammar import Grammar
from aurl.tokens.rules import Stage

PLAIN, FULL = Codec(parts=False, header=()), Codec()
CODECS = [PLAIN, FULL, Codec(parts=False), Codec(header=()), Codec(header=("time_signature",), time_base="seconds")]
HEAD = [775, 779, 811, 780, 811 + 128, 778]
"""A stream of two parts, up to its body."""


@given(scores(max_tracks=3, max_notes=8).filter(lambda piece: piece.note_count), st.sampled_from(CODECS))
@settings(max_examples=60, deadline=None)
def test_what_the_encoder_writes_is_legal(piece, codec):
    assert Grammar.of(codec).check(codec.encode(piece).ids) == []


LEGAL = {
    "a note": [775, 771, 60, 256, 188, 776],
    "default velocity": [775, 60, 256, 188, 776],
    "silence first": [775, 767, 767, 300, 60, 256, 188, 776],
    "empty note": [775, 771, 60, 188, 776],
    "empty, then lasting": [775, 60, 188, 60, 256, 188, 776],
    "chord": [775, 60, 64, 256, 188, 192, 776],
    "again at once": [775, 60, 256, 188, 60, 256, 188, 776],
    "padded": [775, 60, 256, 188, 776, 774, 774],
}
ILLEGAL = {
    "no BOS": ([60], 0),
    "BOS twice": ([775, 775], 1),
    "off without on": ([775, 256, 188], 2),
    "on twice": ([775, 60, 256, 60], 3),
    "EOS while a note sounds": ([775, 60, 256, 776], 3),
    "EOS before any note": ([775, 776], 1),
    "EOS after a pause": ([775, 60, 256, 188, 256, 776], 5),
    "off after an on of the same step": ([775, 60, 256, 64, 188], 4),
    "empty note not ended at once": ([775, 60, 64, 188], 3),
    "short shift after a short one": ([775, 256, 256], 2),
    "velocity that changes nothing": ([775, 771, 60, 771], 3),
    "velocity without a note": ([775, 771, 256], 2),
    "MASK": ([775, 777], 1),
    "SEP without a header": ([775, 778], 1),
    "PART without parts": ([775, 779], 1),
    "after EOS": ([775, 60, 256, 188, 776, 60], 5),
    "no such id": ([775, 5000], 1),
    "no such id either": ([775, -3], 1),
}
LEGAL_PARTS = {
    "note in each part": [*HEAD, 779, 771, 60, 780, 60, 256, 779, 188, 780, 188, 776],
    "all facts": [775, 940, 972, 1052, 779, 811, 778, 779, 60, 256, 188, 776],
    "switch while an ended note waits": [*HEAD, 779, 60, 256, 780, 771, 60, 256, 188, 779, 188, 776],
}
ILLEGAL_PARTS = {
    "facts out of order": ([775, 972, 940], 2),
    "fact twice": ([775, 940, 940], 2),
    "parts out of order": ([775, 780], 1),
    "part without program": ([775, 779, 780], 2),
    "no part declared": ([775, 940, 778], 2),
    "fact after a part": ([775, 779, 811, 940], 3),
    "note before any part": ([*HEAD, 60], 6),
    "undeclared part": ([*HEAD, 781], 6),
    "part again": ([*HEAD, 779, 60, 779], 8),
    "part without a note": ([*HEAD, 779, 256], 7),
    "part after part": ([*HEAD, 779, 780], 7),
    "velocity before part": ([*HEAD, 771], 6),
    "off in another part": ([*HEAD, 779, 60, 256, 780, 188], 10),
    "program in the body": ([*HEAD, 811], 6),
    "chord": ([775, 1082], 1),
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_streams(name):
    assert Grammar.of(PLAIN).check(LEGAL[name]) == []


@pytest.mark.parametrize("name", LEGAL_PARTS)
def test_legal_streams_with_parts(name):
    assert Grammar.of(FULL).check(LEGAL_PARTS[name]) == []


@pytest.mark.parametrize(
    ("codec", "ids", "position"),
    [(PLAIN, *case) for case in ILLEGAL.values()] + [(FULL, *case) for case in ILLEGAL_PARTS.values()],
    ids=[*ILLEGAL, *ILLEGAL_PARTS],
)
def test_illegal_ids_are_named_with_their_place(codec, ids, position):
    violations = Grammar.of(codec).check(ids, complete=False)
    assert [(violation.position, violation.id) for violation in violations] == [(position, ids[position])]


def test_a_stream_that_stops_early_is_incomplete():
    (violation,) = Grammar.of(PLAIN).check([775, 60, 62, 256])
    assert (violation.position, violation.id) == (4, -1)
    assert "2 notes" in violation.reason


def test_without_zero_length_a_note_must_wait_for_its_end():
    grammar = Grammar.of(PLAIN, allow_zero_length=False)
    assert [v.position for v in grammar.check(LEGAL["empty note"], complete=False)] == [3, 4]
    assert grammar.check(LEGAL["again at once"]) == []


def test_a_full_chord_leaves_no_dead_end():
    ids = [*HEAD, 779, *range(128), 780, *range(128)]
    grammar = Grammar.of(FULL)
    state = _state_after(grammar, ids)
    assert np.flatnonzero(grammar.mask(state)[0]).tolist() == [255, *range(256, 768)]
    grammar.advance(state, [256])
    assert np.flatnonzero(grammar.mask(state)[0]).tolist() == [*range(128, 256), 779]


def test_ids_forbidden_to_a_row_leave_it_alone():
    grammar = Grammar.of(PLAIN)
    state = _state_after(grammar, [775, 60])
    before = state.take([0])
    grammar.advance(state, [776])
    assert state.stage == before.stage
    assert np.array_equal(state.sounding, before.sounding)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: "-".join(map(str, codec.signature().values())))
@pytest.mark.parametrize("zero_length", [True, False])
def test_random_walks_are_legal_never_stuck_and_always_close(codec, zero_length):
    grammar, rng = Grammar.of(codec, allow_zero_length=zero_length), np.random.default_rng(3)
    rows, steps = 12, 160
    state, columns = grammar.start(rows), []
    stop_at = rng.integers(1, steps - 1, rows)
    for step in range(steps):
        before = state.sounding.sum(axis=(1, 2))
        mask = grammar.mask(state)
        assert mask.any(axis=1).all()
        columns.append(_sample(mask, rng))
        grammar.advance(state, columns[-1])
        after = state.sounding.sum(axis=(1, 2))
        assert (np.abs(after - before) <= 1).all()
        if (stop_at == step).any():
            _closes_in_two_ways(grammar, state.take(stop_at == step), np.array(columns).T[stop_at == step], rng)
    for ids in np.array(columns).T[:4]:
        assert grammar.check(ids, complete=False) == []


def _closes_in_two_ways(grammar, state, ids, rng):
    for begun, rest in zip(ids, grammar.closing(state, shift_steps=7), strict=True):
        _whole(grammar, np.append(begun, rest))
    most = 3 * int(state.sounding.sum(axis=(1, 2)).max()) + 16
    for _ in range(most):
        chosen = _sample(grammar.mask(state, closing=True), rng)
        grammar.advance(state, chosen)
        ids = np.column_stack([ids, chosen])
    assert (state.stage == Stage.ENDED).all()
    _whole(grammar, ids[0])


def _whole(grammar, ids):
    assert grammar.check(ids) == []
    ons, offs = np.count_nonzero(ids < 128), np.count_nonzero((ids >= 128) & (ids < 256))
    assert ons == offs == len(read_notes(ids).part)


def _sample(mask, rng):
    weight = np.ones(mask.shape[1])
    weight[256:768] = 1 / 64
    return (rng.random(mask.shape) ** (1 / weight) * mask).argmax(axis=1)


def _state_after(grammar, ids):
    state = grammar.start(1)
    for token in ids:
        assert grammar.mask(state)[0, token]
        grammar.advance(state, [token])
    return state


def test_rows_close_independently():
    grammar = Grammar.of(PLAIN)
    state = grammar.start(2)
    for token in (775, 60, 256, 188):
        grammar.advance(state, [token, token])
    mask = grammar.mask(state, closing=[False, True])
    assert mask[0, 62]
    assert np.flatnonzero(mask[1]).tolist() == [776]


def test_closing_written_down_by_hand():
    grammar = Grammar.of(FULL)
    state = _state_after(grammar, [*HEAD, 779, 771, 60, 64, 780, 38])
    assert [row.tolist() for row in grammar.closing(state, shift_steps=32)] == [[287, 166, 779, 188, 192, 776]]
    assert [row.tolist() for row in grammar.closing(grammar.start(1))] == [[775, 779, 811, 778, 779, 60, 256, 188, 776]]
    with pytest.raises(ValueError, match="shift_steps"):
        grammar.closing(state, shift_steps=513)
