"""Each kind against its definition, in plain Python and by hand."""

import math

import pytest
import torch
from tests.support.moments import SIZE, some_moments

from aurl.generation.sampling import FILTERS
from aurl.generation.sampling.groups import ID_KINDS, SLICES, kind_of
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, PART, TIME_SHIFT, VELOCITY, name_of

ROWS = 12


def probabilities(scores):
    """Id → probability of those that are allowed, in double precision."""
    allowed = {token: score for token, score in enumerate(scores.tolist()) if score > -math.inf}
    peak = max(allowed.values())
    weights = {token: math.exp(score - peak) for token, score in allowed.items()}
    return {token: weight / sum(weights.values()) for token, weight in weights.items()}


def kept(scores):
    return {token for token, score in enumerate(scores.tolist()) if score > -math.inf}


def entropy(chances):
    return -sum(chance * math.log(chance) for chance in chances.values() if chance)


@pytest.mark.parametrize("mass", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(("spread", "legal"), [(3.0, 1.0), (1.0, 0.3), (0.05, 1.0)])
def test_typical_keeps_the_fewest_that_are_nearest_to_the_entropy(mass, spread, legal):
    """Meister et al. (2023), equation 7, solved by adding one id after the other; a flat row needs very many."""
    at = some_moments(ROWS, spread=spread, legal=legal)
    changed = FILTERS.build("typical", mass=mass)(at.scores, at.histories)
    for row in range(ROWS):
        chances = probabilities(at.scores[row])
        middle = entropy(chances)
        expected, reached = set(), 0.0
        for token in sorted(chances, key=lambda token: abs(-math.log(chances[token]) - middle)):
            if reached >= mass:
                break
            expected.add(token)
            reached += chances[token]
        assert len(kept(changed[row]) ^ expected) <= 1, "one may be on the edge where sums are rounded"
        assert torch.equal(changed[row][changed[row].isfinite()], at.scores[row][changed[row].isfinite()])


def test_typical_may_drop_the_likeliest():
    scores = torch.full((1, SIZE), -torch.inf)
    scores[0, :5] = torch.tensor([0.4, 0.15, 0.15, 0.15, 0.15]).log()  # entropy 1.5, surprisals 0.9 and 1.9
    assert kept(FILTERS.build("typical", mass=0.5)(scores, [[]])[0]) == {1, 2, 3, 4}


@pytest.mark.parametrize("epsilon", [0.001, 0.1, 0.6])
@pytest.mark.parametrize("spread", [0.05, 1.0, 4.0])
def test_eta_is_a_floor_that_sinks_with_the_entropy(epsilon, spread):
    at = some_moments(ROWS, spread=spread, legal=0.5)
    changed = FILTERS.build("eta", epsilon=epsilon)(at.scores, at.histories)
    for row in range(ROWS):
        chances = probabilities(at.scores[row])
        floor = min(epsilon, math.sqrt(epsilon) * math.exp(-entropy(chances)))
        expected = {token for token, chance in chances.items() if chance >= floor}
        assert kept(changed[row]) == (expected or {max(chances, key=chances.__getitem__)})


def test_kind_temperature_tempers_within_kinds_and_leaves_their_shares():
    heats = dict(zip(ID_KINDS, (0.5, 2.0, 1.3, 0.2, 3.0), strict=True))
    at = some_moments(ROWS, legal=0.5)
    changed = FILTERS.build("kind_temperature", **heats)(at.scores, at.histories)
    for row in range(ROWS):
        before, after = probabilities(at.scores[row]), probabilities(changed[row])
        for kind, heat in heats.items():
            of_kind = {token: chance for token, chance in before.items() if kind_of(token) == kind}
            share, total = sum(of_kind.values()), sum(chance ** (1 / heat) for chance in of_kind.values())
            for token, chance in of_kind.items():
                assert after[token] == pytest.approx(share * chance ** (1 / heat) / total, rel=1e-4, abs=1e-9)


def test_kind_temperature_zero_takes_the_likeliest_of_the_kind():
    at = some_moments(ROWS)
    changed = FILTERS.build("kind_temperature", note_on=0)(at.scores, at.histories).softmax(-1)
    share = at.scores.softmax(-1)[:, :128].sum(-1)
    torch.testing.assert_close(changed[:, :128].amax(-1), share, rtol=1e-4, atol=1e-7)
    assert torch.equal(changed[:, :128].argmax(-1), at.scores[:, :128].argmax(-1))


def test_one_temperature_for_all_kinds_is_nothing_at_all():
    at = some_moments(2)
    assert torch.equal(FILTERS.build("kind_temperature")(at.scores, at.histories), at.scores)


@pytest.mark.parametrize("token", [0, 127, 128, 255, 256, 767, 768, 773, BOS, EOS, PART.start, SIZE - 1])
def test_kinds_of_ids_are_those_of_the_vocabulary(token):
    groups = dict(zip((NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY), ID_KINDS, strict=False))
    group = next((group for group in groups if group.start <= token < group.stop), None)
    assert kind_of(token) == groups.get(group, "control"), name_of(token)
    assert token in range(SIZE)[SLICES[kind_of(token)]]


def test_repetition_raises_probabilities_of_recent_pitches_to_a_power():
    at = some_moments(ROWS, legal=0.7, length=50)
    changed = FILTERS.build("repetition", penalty=1.7, window=9)(at.scores, at.histories)
    for row, history in enumerate(at.histories):
        recent = {token for token in history[-9:] if token < 128}
        before, after = probabilities(at.scores[row]), probabilities(changed[row])
        weights = {token: chance ** (1.7 if token in recent else 1) for token, chance in before.items()}
        assert after == pytest.approx({token: weight / sum(weights.values()) for token, weight in weights.items()})


@pytest.mark.parametrize(
    ("kind", "token"), [("note_off", 188), ("time_shift", 260), ("velocity", 768), ("control", 780)]
)
def test_repetition_is_for_the_kinds_that_it_is_told(kind, token):
    at = some_moments(1, length=0)
    history = [[60, 188, 260, 768, 780]]
    asked = FILTERS.build("repetition", penalty=2.0, kinds=(kind,))(at.scores, history)
    changed = (asked - at.scores.log_softmax(-1)).abs() > 1e-6
    assert changed[0].nonzero()[:, 0].tolist() == [token]


def test_repetition_of_what_is_certain_changes_nothing():
    scores = torch.full((1, SIZE), -torch.inf)
    scores[0, 60] = 5.0
    assert probabilities(FILTERS.build("repetition", penalty=5.0)(scores, [[60]])[0]) == {60: 1.0}


@pytest.mark.parametrize(("size", "times"), [(2, 1), (2, 3), (3, 1), (4, 2)])
def test_no_repeat_forbids_what_would_be_the_run_once_too_often(size, times):
    at = some_moments(ROWS, length=80)
    changed = FILTERS.build("no_repeat", size=size, times=times)(at.scores, at.histories)
    some = 0
    for row, history in enumerate(at.histories):
        pitches = [token for token in history if token < 128]
        runs = [tuple(pitches[place : place + size]) for place in range(len(pitches) - size + 1)]
        worn = {pitch for pitch in range(128) if runs.count((*pitches[-size + 1 :], pitch)) >= times}
        assert kept(at.scores[row]) - kept(changed[row]) == worn
        some += len(worn)
    assert some > 0


def test_no_repeat_reads_on_as_histories_grow_and_change_places():
    """One object for growing pieces says what a new one says of the same ids."""
    at = some_moments(4, length=120)
    growing = [history[:5] for history in at.histories]
    memory = FILTERS.build("no_repeat", size=2, times=2)
    for step in range(5, 120):
        if step == 60:
            growing.reverse()
            at.histories.reverse()
        if step == 90:
            growing[0] = list(growing[0])  # the same piece, in a list of its own
        found = memory(at.scores, growing)
        anew = FILTERS.build("no_repeat", size=2, times=2)(at.scores, [list(history) for history in growing])
        assert torch.equal(found, anew)
        for history, whole in zip(growing, at.histories, strict=True):
            history.append(whole[step])
