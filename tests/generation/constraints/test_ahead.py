"""How the mask keeps constraints from getting a piece stuck."""

import numpy as np
import pytest
import torch
from tests.support.constraining import constraint
from tests.support.events import level, off, on, part, shift

from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.constraints.kinds import Rule
from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.constraints.row import FORBIDDEN
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, EOS, PROGRAM, SEP, TIME_SHIFT, VELOCITY

MERGED, PARTS = Codec(parts=False, header=()), Codec(header=())
DRUMS = 128


class Only(Rule):
    """Notes of these pitches begin on these steps only."""

    def __init__(self, pitches, steps=range(10_000)):
        self.pitches, self.steps = pitches, steps

    def restrict(self, row, bias):
        allowed = self.pitches if row.step in self.steps else []
        forbidden = [pitch for pitch in range(128) if pitch not in allowed]
        bias[forbidden] = FORBIDDEN


def mask_after(ids, *constraints, codec=MERGED):
    mask = GrammarMask(Grammar.of(codec, allow_zero_length=False), 1, constraints)
    mask.replay([BOS, *ids])
    return mask


def allowed(mask):
    return set(np.flatnonzero(mask.bias(torch.device("cpu"))[0].numpy() > FORBIDDEN).tolist())


def test_no_level_is_told_where_no_note_may_begin():
    assert {level(1), on(60)} <= allowed(mask_after([], Only([60])))
    held = allowed(mask_after([level(0), on(60)], Only([60])))
    assert not held & {level(value) for value in range(6)}
    assert shift(1) in held


def header(*programs):
    return [one for number, program in enumerate(programs) for one in (part(number), PROGRAM.start + program)] + [SEP]


def test_no_part_is_told_where_none_of_its_notes_may_begin_or_end():
    voices = CONSTRAINTS.build("polyphony", PARTS, voices=1)
    ids = [*header(0, 40, DRUMS), part(0), level(0), on(60)]
    assert allowed(mask_after(ids, voices, codec=PARTS)) & {part(1), part(2)} == {part(2)}
    ids += [shift(8), part(1)]
    other = mask_after([*header(0, 40, DRUMS), part(1), level(0), on(60), shift(8)], voices, codec=PARTS)
    assert allowed(other) == {off(60), part(2)}
    switched = mask_after([*header(0, 40), part(0), level(0), on(60), shift(1), off(60), part(1)], voices, codec=PARTS)
    assert on(60) in allowed(switched)
    here = mask_after([*header(0, 40), part(0), level(0), on(60), part(1)], Only([60, 61]), codec=PARTS)
    assert allowed(here) & set(range(256)) == {on(60), on(61)}


def test_a_wait_that_leads_nowhere_becomes_the_nearest_that_leads_on():
    silent = [level(0), on(60), shift(10), off(60)]
    mask = mask_after(silent, Only([60], steps=(0, 14, 20)))
    assert mask.forced(0, shift(4)) == shift(4)
    assert mask.forced(0, shift(5)) == shift(4)
    assert mask.forced(0, shift(9)) == shift(10)
    assert mask.forced(0, TIME_SHIFT.stop - 1) == TIME_SHIFT.stop - 1, "after the longest, others may follow"
    assert mask.forced(0, EOS) == EOS
    held = mask_after(silent[:2], Only([60], steps=(0, 14, 20)))
    assert held.forced(0, shift(5)) == shift(5), "what sounds may end there"


def test_a_wait_past_the_end_leads_to_it():
    mask = mask_after([level(0), on(60), shift(10), off(60)], Only([60], steps=(0, 30)))
    mask.end_after(0, 12, may_end=False)
    assert mask.forced(0, shift(12)) == shift(12)
    assert mask.forced(0, shift(11)) == shift(12)


def test_where_nothing_may_begin_any_more_a_piece_ends_before_its_length(caplog):
    mask = mask_after([level(0), on(60), shift(10), off(60)], constraint("density", MERGED), Only([60], steps=(0,)))
    mask.end_after(0, 100, may_end=False)
    assert EOS not in allowed(mask)
    full = mask_after(
        [level(0), *(on(60 + n) for n in range(4)), shift(10), *(off(60 + n) for n in range(4))],
        CONSTRAINTS.build("density", MERGED, most=1.0, beats=4.0),
    )
    full.end_after(0, 90, may_end=False)
    assert allowed(full) == {EOS, *range(shift(90), TIME_SHIFT.stop)}
    assert "left nothing" not in caplog.text


def test_constraints_that_cannot_be_kept_are_forgotten_and_that_is_told_once(caplog):
    mask = GrammarMask(Grammar.of(MERGED, allow_zero_length=False), 3, [Only([])])
    mask.replay([BOS, level(0)])
    assert allowed(mask) == set(range(128))
    mask.advance(0, on(60))
    mask.advance(0, shift(8))
    assert allowed(mask) == {off(60)}
    assert caplog.text.count("left nothing to follow") == 1


def test_the_note_of_a_cut_is_an_allowed_one_nearest_to_middle_c():
    assert mask_after([], Only([50, 69, 90])).closing(0)[:1] == [on(69)]
    assert mask_after([level(2)], Only([50, 90])).closing(0) == [on(50), shift(8), off(50), EOS]
    free = mask_after([level(2)])
    assert free.closing(0) == [on(60), shift(8), off(60), EOS]


@pytest.mark.parametrize("options", [{"least": 3.0}, {"most": 2.0}])
def test_soft_limits_stay_finite(options):
    mask = mask_after([level(0), on(60), shift(3), off(60)], CONSTRAINTS.build("density", MERGED, **options))
    bias = mask.bias(torch.device("cpu"))[0].numpy()
    assert np.isfinite(bias[shift(1) : TIME_SHIFT.stop]).all()
    assert (bias[shift(100)] < -5) is np.bool_("least" in options)
    assert bias[EOS] == 0
    assert np.isfinite(bias[VELOCITY.start + 1 : VELOCITY.stop]).all()
