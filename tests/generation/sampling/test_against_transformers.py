"""The kept sets and the penalties beside those of another library."""

import pytest
import torch
from tests.support.moments import some_moments

from aurl.generation.sampling import FILTERS
from aurl.generation.sampling.sampler import Sampler

theirs = pytest.importorskip("transformers.generation.logits_process")
ROWS, FEW = 30, 90
NOTHING_BEFORE = torch.zeros(ROWS, 1, dtype=torch.long)
SPREADS = (0.05, 1.0, 3.0)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("mass", [0.2, 0.9])
def test_typical(mass, spread):
    at = some_moments(ROWS, spread=spread, legal=0.6)
    ours = FILTERS.build("typical", mass=mass)(at.scores, at.histories)
    expected = theirs.TypicalLogitsWarper(mass=mass)(NOTHING_BEFORE, at.scores)
    assert ((ours.isfinite() ^ expected.isfinite()).sum(-1) <= 1).all(), "one may be on the edge"
    assert (ours.isfinite() == expected.isfinite()).float().mean() > 0.999


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("epsilon", [0.01, 0.3])
def test_eta(epsilon, spread):
    at = some_moments(ROWS, spread=spread, legal=0.6)
    ours = FILTERS.build("eta", epsilon=epsilon)(at.scores, at.histories)
    assert torch.equal(ours, theirs.EtaLogitsWarper(epsilon=epsilon)(NOTHING_BEFORE, at.scores))


def test_repetition_on_log_probabilities():
    """They scale scores of either sign; log-probabilities have one only."""
    at = some_moments(ROWS)
    pitches = [[token for token in history if token < 128] for history in at.histories]
    length = min(map(len, pitches))
    cut = [one[-length:] for one in pitches]
    ours = FILTERS.build("repetition", penalty=1.4, window=length)(at.scores, cut)
    expected = theirs.RepetitionPenaltyLogitsProcessor(1.4)(torch.tensor(cut), at.scores.log_softmax(-1))
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_no_repeat_of_pitches_alone(size):
    at = some_moments(ROWS)
    pitches = [[token for token in history if token < 128] for history in at.histories]
    length = min(map(len, pitches))
    cut = [one[-length:] for one in pitches]
    ours = FILTERS.build("no_repeat", size=size, times=1)(at.scores, cut)
    assert torch.equal(ours, theirs.NoRepeatNGramLogitsProcessor(size)(torch.tensor(cut), at.scores))


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    ("options", "warper"),
    [
        ({"top_k": 7}, lambda: theirs.TopKLogitsWarper(7)),
        ({"top_p": 0.7}, lambda: theirs.TopPLogitsWarper(0.7)),
        ({"min_p": 0.1}, lambda: theirs.MinPLogitsWarper(0.1)),
    ],
    ids=["top_k", "top_p", "min_p"],
)
def test_what_the_sampler_keeps(options, warper, spread):
    """As often as each id is drawn with evenly spaced numbers, so likely it is."""
    logits, draws = some_moments(1, spread=spread).logits[:, :FEW], 4000
    grid = [(number + 0.5) / draws for number in range(draws)]
    ids = Sampler(**options)(logits.expand(draws, -1), torch.zeros(1, FEW), grid)
    found = torch.bincount(torch.tensor(ids), minlength=FEW) / draws
    expected = warper()(NOTHING_BEFORE[:1], logits.clone()).softmax(-1)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=2 / draws)
