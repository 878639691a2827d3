"""What every kind of filter promises."""

import logging
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.moments import SIZE, moments, some_moments

from aurl.generation.sampling import FILTERS
from aurl.generation.sampling.sampler import Sampler

VARIANTS = [
    {"kind": "eta", "epsilon": 0.3},
    {"kind": "kind_temperature", "note_on": 0.3, "time_shift": 2.5},
    {"kind": "kind_temperature", "note_off": 0.0, "velocity": 0.5, "control": 1.7},
    {"kind": "no_repeat", "size": 2, "times": 1},
    {"kind": "repetition", "penalty": 3.0, "kinds": ["note_on", "time_shift"]},
    {"kind": "typical", "mass": 0.2},
    *({"kind": kind} for kind in FILTERS.kinds()),
]
SAMPLERS = [
    {"temperature": 0.0},
    {"temperature": 0.7, "min_p": 0.2},
    {"temperature": 1.4, "top_k": 3},
    {"top_p": 1e-300, "top_k": 2 * SIZE},
    {"top_p": 5e-324, "top_k": 5},
    {"temperature": 1e-3, "top_p": 0.9, "min_p": 1.0},
]
MORE = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def test_every_kind_is_tried_with_options_too():
    tried = [variant["kind"] for variant in VARIANTS]
    assert all(tried.count(kind) >= 2 for kind in FILTERS.kinds())


@every_variant
@MORE
@given(at=moments())
def test_what_is_illegal_stays_so_and_nothing_is_changed_in_place(variant, at):
    scores = at.scores
    before, histories = scores.clone(), [list(history) for history in at.histories]
    changed = FILTERS.from_component(variant)(scores, at.histories)
    assert torch.equal(scores, before)
    assert at.histories == histories
    assert changed.shape == scores.shape
    assert not changed.isnan().any()
    assert changed[before.isneginf()].isneginf().all()


@every_variant
@MORE
@given(at=moments())
def test_a_row_alone_is_the_row_in_a_batch(variant, at):
    together = FILTERS.from_component(variant)(at.scores, at.histories)
    for row in range(len(together)):
        alone = FILTERS.from_component(variant)(at.scores[row : row + 1], at.histories[row : row + 1])
        assert torch.equal(alone[0], together[row])


@every_variant
def test_logits_have_no_zero_of_their_own(variant):
    """What is added to all logits of a row changes no probability."""
    at = some_moments(6, legal=0.5)
    one, other = (FILTERS.from_component(variant)(at.scores + added, at.histories) for added in (0.0, 37.0))
    assert torch.equal(one.isneginf(), other.isneginf())
    torch.testing.assert_close(one.softmax(-1), other.softmax(-1), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("variant", "options"), list(product(VARIANTS, SAMPLERS)), ids=str)
@settings(MORE, max_examples=3)
@given(at=moments(), uniform=st.sampled_from([0.0, 0.5, 1 - 2**-23]))
def test_with_the_sampler_every_id_is_legal_and_was_kept(variant, options, at, uniform):
    sampler = Sampler(**options, filters=[FILTERS.from_component(variant)])
    ids = sampler(at.logits, at.bias, [uniform] * len(at.logits), at.histories)
    kept = FILTERS.from_component(variant)(at.scores, at.histories)
    for row, chosen in enumerate(ids):
        assert at.bias[row, chosen] == 0
        assert kept[row, chosen].isfinite() or not kept[row].isfinite().any()


@pytest.mark.parametrize(("variant", "options"), list(product(VARIANTS, SAMPLERS)), ids=str)
def test_the_first_choice_of_what_is_kept_can_be_drawn(variant, options):
    at = some_moments(8, legal=0.3)
    kept = FILTERS.from_component(variant)(at.scores, at.histories)
    sampler = Sampler(**options, filters=[FILTERS.from_component(variant)])
    drawn = [sampler(at.logits, at.bias, [number / 40] * 8, at.histories) for number in range(40)]
    for first, *found in zip(kept.argmax(-1).tolist(), *drawn, strict=True):
        assert first in found


@pytest.mark.parametrize("variant", [one for one in VARIANTS if one["kind"] not in ("no_repeat", "typical")], ids=str)
@MORE
@given(at=moments())
def test_the_likeliest_id_is_never_forbidden(variant, at):
    """`typical` may find it too plain and `no_repeat` too worn: that is what they are for."""
    likeliest = at.scores.argmax(-1, keepdim=True)
    assert FILTERS.from_component(variant)(at.scores, at.histories).gather(1, likeliest).isfinite().all()


def test_all_kinds_together_leave_something_legal(caplog):
    at = some_moments(40, legal=0.05)
    filters = [FILTERS.from_component(variant) for variant in VARIANTS]
    with caplog.at_level(logging.WARNING):
        ids = Sampler(filters=filters)(at.logits, at.bias, [0.3] * 40, at.histories)
    assert (at.bias[torch.arange(40), ids] == 0).all()


def test_where_filters_leave_nothing_they_do_not_count_which_is_said_once(caplog):
    """After 60 64 no other pitch is legal than the one that would be played a third time."""
    at = some_moments(2, length=0)
    at.bias[0] = -torch.inf
    at.bias[0, 67] = 0
    histories = [[60, 64, 67, 60, 64, 67, 60, 64], [60]]
    sampler = Sampler(filters=[FILTERS.build("no_repeat", size=3, times=2)])
    with caplog.at_level(logging.WARNING):
        drawn = [sampler(at.logits, at.bias, [uniform, 0.5], histories) for uniform in (0.1, 0.9)]
    assert [ids[0] for ids in drawn] == [67, 67]
    assert drawn[0][1] == drawn[1][1] == Sampler()(at.logits[1:], at.bias[1:], [0.5])[0]
    assert [record.message for record in caplog.records] == [
        "the filters left nothing to follow: for one id they do not count"
    ]


def test_what_falls_back_is_drawn_by_the_scores_before_the_filters():
    at = some_moments(1, length=0)
    legal = [60, 62, 64]
    at.bias[:] = -torch.inf
    at.bias[0, legal] = 0
    worn = [pitch for _ in range(2) for last in legal for pitch in (50, last)] + [50]
    sampler = Sampler(filters=[FILTERS.build("no_repeat", size=2, times=2)])
    grid = [(number + 0.5) / 1000 for number in range(1000)]
    found = [sampler(at.logits, at.bias, [uniform], [worn])[0] for uniform in grid]
    expected = at.logits[0, legal].softmax(-1).tolist()
    assert [found.count(token) / 1000 for token in legal] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("filters", [[], [{"kind": "typical"}], [{"kind": "repetition"}]], ids=str)
def test_a_row_without_numbers_takes_any_legal_id(filters):
    at = some_moments(3, legal=0.01)
    at.logits[1] = torch.nan
    sampler = Sampler(top_p=0.9, filters=[FILTERS.from_component(component) for component in filters])
    ids = sampler(at.logits, at.bias, [0.4] * 3, at.histories)
    assert (at.bias[torch.arange(3), ids] == 0).all()
    alone = sampler(at.logits[2:], at.bias[2:], [0.4], at.histories[2:])
    assert ids[2:] == alone, "the others do not notice"
