import math

import pytest
import torch
from tests.support.events import level, off, on, shift
from tests.support.legal_ids import walk

from aurl.loss.weighting import (
    KINDS,
    TYPICAL_LEADING,
    TYPICAL_SHARE,
    WEIGHTINGS,
    kinds_of_ids,
    leads,
    neighbours,
    typical_weight,
)
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import (
    BOS,
    EOS,
    PAD,
    PART,
    SEP,
    VOCABULARY_SIZE,
)


def musical(**options):
    return WEIGHTINGS.build("musical", **options)


FLAT = dict.fromkeys(KINDS, 1.0) | {"onset": 1.0}
PHRASE = [
    *(BOS, SEP, level(3), on(60), on(64), level(4), on(67)),  # begins without a TIME_SHIFT
    *(shift(16), off(60), off(64)),  # nothing begins here
    *(shift(512), shift(3), off(67), PART.start, level(1), on(62)),  # only the second TIME_SHIFT arrives
    *(shift(8), on(65), off(65), EOS),
]
PHRASE_LEADS = "..++..." + "..." + ".+..++" + "++.."


def test_what_leads_to_an_onset_by_hand():
    assert "".join(".+"[mark] for mark in leads(torch.tensor([PHRASE]))[0].tolist()) == PHRASE_LEADS


def slow_leads(ids):
    """Point of time by point of time."""
    found, begin = [False] * len(ids), 0
    kinds = kinds_of_ids().tolist()
    borders = [place for place, i in enumerate(ids) if kinds[i] == KINDS.index("time_shift")]
    for stop in [*borders, len(ids)]:
        notes = [place for place in range(begin, stop) if kinds[ids[place]] == KINDS.index("note_on")]
        if notes:
            for place in range(begin, notes[0] + 1):
                found[place] = KINDS[kinds[ids[place]]] in ("note_on", "time_shift", "velocity")
        begin = stop
    return found


@pytest.mark.parametrize("parts", [False, True])
def test_what_leads_to_an_onset_in_any_music(parts):
    codec = Codec(parts=parts)
    rows = [walk(Grammar.of(codec), 300, seed) for seed in range(4)]
    expected = [slow_leads(row) for row in rows]
    assert leads(torch.tensor(rows)).tolist() == expected
    assert any(map(any, expected))


def test_every_id_is_of_one_kind():
    kinds = kinds_of_ids()
    counts = torch.bincount(kinds, minlength=len(KINDS) + 1).tolist()
    assert counts == [128, 128, 512, 6, VOCABULARY_SIZE - 128 - 128 - 512 - 6 - 1, 1]
    assert kinds[[on(0), off(127), shift(512), level(5), SEP, EOS, PAD]].tolist() == [0, 1, 2, 3, 4, 4, 5]


def test_weights_by_hand():
    """Mean weight: 3 (.3164 + .1509) + 2.1 · .3164 + 2 (.2022 + .1509) + 1.5 (.1648 + .0963) + .0002 = 3.16439."""
    ids = torch.tensor([[SEP, level(3), on(60), on(64), shift(16), off(60), shift(8), on(62), PAD]])
    weights = musical()(ids, ids).weights[0] * 3.16439
    torch.testing.assert_close(weights, torch.tensor([1, 3, 6, 3, 2, 2.1, 4, 6, 0]), rtol=1e-5, atol=1e-5)


def test_typical_shares_are_shares():
    assert sum(TYPICAL_SHARE.values()) == pytest.approx(1, abs=1e-3)
    assert all(TYPICAL_LEADING[kind] <= TYPICAL_SHARE[kind] for kind in KINDS)
    assert typical_weight(dict.fromkeys(KINDS, 2.5), 1.0) == pytest.approx(2.5)
    assert typical_weight(dict.fromkeys(KINDS, 0.0), 2.0) == 1.0


def test_music_of_the_typical_shares_costs_what_it_costs_without_weights():
    """A thousand targets in those shares, of which as many lead to an onset."""
    count = {kind: round(1000 * TYPICAL_SHARE[kind]) for kind in KINDS}
    lead = {kind: round(1000 * TYPICAL_LEADING[kind]) for kind in KINDS}
    moment = [shift(4), level(1), on(60)]  # all three lead
    ids = moment * lead["velocity"] + [shift(4), on(60)] * (lead["note_on"] - lead["velocity"])
    ids += [on(61)] * (count["note_on"] - lead["note_on"]) + [level(2)] * (count["velocity"] - lead["velocity"])
    ids += [shift(5)] * (count["time_shift"] - lead["time_shift"]) + [off(60)] * count["note_off"]
    targets = torch.tensor([ids])
    assert len(ids) == pytest.approx(1000, abs=2)
    assert musical()(targets, targets).weights.mean().item() == pytest.approx(1, abs=5e-3)


def test_alike_weights_are_none():
    ids = torch.tensor([PHRASE])
    torch.testing.assert_close(musical(**{**FLAT, "velocity": 1.0})(ids, ids).weights, torch.ones(1, len(PHRASE)))
    tripled = musical(**dict.fromkeys(KINDS, 3.0), onset=1.0)(ids, ids).weights
    torch.testing.assert_close(tripled, torch.ones(1, len(PHRASE)))


def test_a_kind_of_weight_0_is_left_out():
    ids = torch.tensor([[level(2), on(60)]])
    log_probabilities = torch.randn(1, 2, VOCABULARY_SIZE).log_softmax(-1).requires_grad_()
    musical(velocity=0.0, ordinal=0.5)(ids, ids).cost(log_probabilities).backward()
    assert log_probabilities.grad[0, 0].abs().sum() == 0
    assert log_probabilities.grad[0, 1, on(60)] < 0


def test_context_tells_what_leads_and_is_no_target():
    """The second note of a chord whose first is context is not the first of its time."""
    ids = torch.tensor([[shift(4), on(60), on(64)]])
    targets = torch.tensor([[PAD, PAD, on(64)]])
    weighting = musical(**{**FLAT, "onset": 3.0})
    alone, known = weighting(targets, targets).weights[0], weighting(targets, ids).weights[0]
    assert alone[:2].tolist() == known[:2].tolist() == [0, 0]
    assert alone[2].item() == pytest.approx(3 * known[2].item())


def test_neighbours_of_a_wait_and_of_a_level_by_hand():
    """Of width 1: bells of 1, .60653, .13534 and .01111 at 0 to 3 values apart."""
    ids, shares = neighbours(0.5, 1.0)
    bell = [math.exp(-0.5 * apart**2) for apart in range(4)]
    whole = bell[0] + 2 * sum(bell[1:])
    middle = [bell[3], bell[2], bell[1], 1 + whole, bell[1], bell[2], bell[3]]
    torch.testing.assert_close(shares[shift(100)], torch.tensor(middle) / whole / 2)
    assert ids[shift(100)].tolist() == list(range(shift(97), shift(104)))
    low = sum(bell)  # nothing is below the lowest level
    torch.testing.assert_close(
        shares[level(0)], torch.tensor([0, 0, 0, 1 + low, *bell[1:]]) / low / 2, rtol=1e-6, atol=0
    )
    assert ids[level(0), 3:].tolist() == [level(0), level(1), level(2), level(3)]


@pytest.mark.parametrize(("ordinal", "width"), [(0.0, 1.0), (0.3, 0.4), (1.0, 2.0), (0.5, 16.0)])
def test_neighbours_are_of_the_same_kind_and_add_up_to_one(ordinal, width):
    ids, shares = neighbours(ordinal, width)
    kinds = kinds_of_ids()
    torch.testing.assert_close(shares.sum(1), torch.ones(VOCABULARY_SIZE))
    assert (kinds[ids] == kinds[:, None]).all()
    ordered = (kinds == KINDS.index("time_shift")) | (kinds == KINDS.index("velocity"))
    assert ((shares > 0).sum(1) == 1)[~ordered].all()
    middle = ids.shape[1] // 2
    assert torch.equal(ids[:, middle], torch.arange(VOCABULARY_SIZE))
    assert (shares.argmax(1) == middle).all()


def test_a_near_miss_costs_less_than_a_far_one():
    def cost(told):
        log_probabilities = torch.full((1, 1, VOCABULARY_SIZE), 1e-4)
        log_probabilities[..., told] = 1.0
        targets = torch.tensor([[shift(32)]])
        return musical(ordinal=0.2)(targets, targets).cost(log_probabilities.log()).item()

    assert cost(shift(32)) < cost(shift(33)) < cost(shift(34)) < cost(shift(64)) == cost(on(60))


def test_weighted_costs_of_batches_add_up():
    grammar = Grammar.of(Codec())
    ids = torch.tensor([walk(grammar, 100, seed) for seed in range(3)])
    log_probabilities = torch.randn(3, 100, VOCABULARY_SIZE).log_softmax(-1)
    weighting = musical(ordinal=0.3, width=2.0)
    whole = weighting(ids, ids).cost(log_probabilities)
    parts = [weighting(ids[r : r + 1], ids[r : r + 1]).cost(log_probabilities[r : r + 1]) for r in range(3)]
    assert whole.item() == pytest.approx(sum(parts).item(), rel=1e-5)
