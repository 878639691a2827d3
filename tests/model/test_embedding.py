import pytest
import torch
from tests.support.events import shift

from aurl.model.elapsed import Clock
from aurl.model.embedding import MusicEmbedding, number_features
from aurl.tokens.vocabulary import EOS, TIME_SHIFT, VELOCITY

VOCABULARY = 779


def build():
    torch.manual_seed(0)
    return MusicEmbedding(VOCABULARY, 32)


def embed(embedding, ids, start=0):
    ids = torch.tensor([ids])
    return embedding(ids, embedding.times(ids, Clock.at(torch.tensor([start])))[0], embedding.tables())[0]


def test_time_is_counted_after_each_id():
    ids = torch.tensor([[60, shift(8), 188, shift(512), EOS], [shift(1), shift(1), 60, 188, shift(32)]])
    elapsed = build().times(ids, Clock.at(torch.tensor([0, 100])))[0]
    assert elapsed.tolist() == [[0, 8, 8, 520, 520], [101, 102, 102, 102, 134]]


def test_a_window_knows_where_in_the_piece_it_begins():
    embedding, tail = build(), [60, shift(24), 188]
    whole = embed(embedding, [shift(512), shift(40), *tail])
    torch.testing.assert_close(embed(embedding, tail, start=552), whole[2:])
    assert not torch.allclose(embed(embedding, tail), whole[2:])


@pytest.mark.parametrize("steps", [1, 32, 128, 10_000])
def test_phase_and_elapsed_time_tell_places_apart(steps):
    embedding = build()
    assert not torch.allclose(embed(embedding, [60]), embed(embedding, [60], start=steps), atol=1e-3)


def test_times_beyond_the_tables_are_still_embedded():
    assert embed(build(), [60], start=10**7).isfinite().all()


def test_features_are_normalised():
    features = embed(build(), list(range(VOCABULARY)))
    torch.testing.assert_close(features.square().mean(-1), torch.ones(VOCABULARY), rtol=0.02, atol=0)


def test_near_shifts_have_near_numbers_and_velocities_are_a_staircase():
    features = number_features(VOCABULARY)
    near = (features[shift(400)] - features[shift(401)]).norm()
    assert near < (features[shift(400)] - features[shift(3)]).norm()
    stairs = features[VELOCITY.start : VELOCITY.stop]
    assert (stairs[1:] - stairs[:-1]).abs().sum(1).tolist() == [1.0] * 5
    assert not features[: TIME_SHIFT.start].any()
