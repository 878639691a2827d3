"""A model that has learned a few songs by heart gives each of them back from its latents."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.latent_models import SMALL
from tests.support.training import melody

from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps, header_length
from aurl.generation.load import Loaded
from aurl.generation.pieces import make_pieces
from aurl.generation.reconstruct import reconstruct
from aurl.generation.request import Request
from aurl.midi.read import read_score
from aurl.model.build import build_model
from aurl.model.packing import pack_linears
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import PAD

CODEC = Codec(parts=False, header=())
SONGS = [read_score(melody(seed, notes=24), name=f"song {seed}").score for seed in range(4)]
CONTEXT = 64
STEPS = 200


def windows():
    """Whole contexts of every song, as training shows them: ids (B, T + 1) and their start."""
    rows, starts = [], []
    for song in SONGS:
        ids = CODEC.encode(song).ids.tolist()
        header = header_length(ids)
        for dropped in range(0, len(ids) - CONTEXT // 2, CONTEXT // 2):
            row = ids[:header] + ids[header + dropped : dropped + CONTEXT + 1]
            rows.append(row + [PAD] * (CONTEXT + 1 - len(row)))
            starts.append(elapsed_steps(ids[: header + dropped]) if dropped else 0)
    return torch.tensor(rows), torch.tensor(starts)


@pytest.fixture(scope="module")
def loaded():
    """A model that has seen the songs a few hundred times, almost as an autoencoder."""
    torch.manual_seed(0)
    profile = load_profile(flags=SMALL | {"model.d_model": 64})
    model = build_model(profile, CODEC).train()
    model.word_dropout = 0.5
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    ids, starts = windows()
    for _ in range(STEPS):
        found = model(ids[:, :-1], start_steps=starts, following=ids[:, 1:])
        nats = torch.nn.functional.cross_entropy(found.logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD)
        (nats + 1e-4 * sum(kl.mean() for kl in found.kl.values())).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return Loaded(pack_linears(model.eval()), CODEC, profile, (), Path(), Path("step-200"), False, 0)


def note_f1(score, other):
    """Of exact (step, pitch) pairs, each used once: 2 × agreeing / all."""
    pairs = []
    for one in (score, other):
        notes = one.tracks[0].notes
        steps = np.round(notes.onset * 32 / one.ticks_per_beat).astype(int).tolist()
        pairs.append(Counter(zip(steps, notes.pitch.tolist(), strict=True)))
    agreeing = sum(min(count, pairs[1][pair]) for pair, count in pairs[0].items())
    return 2 * agreeing / (pairs[0].total() + pairs[1].total())


@pytest.mark.slow
def test_songs_come_back_from_their_own_latents_and_not_from_those_of_others(loaded):
    made = [reconstruct(loaded, song) for song in SONGS]
    likeness = np.array([[note_f1(song, other) for other in made] for song in SONGS])
    own, others = likeness.diagonal(), likeness[~np.eye(len(SONGS), dtype=bool)]
    assert own.mean() > 0.9
    assert others.max() < 0.5 * own.min()


@pytest.mark.slow
def test_pieces_like_a_song_are_more_like_it_than_like_another(loaded):
    """At temperature 0; and all songs are longer than what the model sees at once."""
    for number, song in enumerate(SONGS):
        assert len(CODEC.encode(song).ids) > CONTEXT
        request = Request(like=song, temperature=0.0, seed=5)
        [piece] = make_pieces(loaded.model, CODEC, request, context=CONTEXT, defaults=loaded.profile.generation)
        likeness = [note_f1(other, piece.score) for other in SONGS]
        assert int(np.argmax(likeness)) == number
        assert likeness[number] > 0.8


def test_a_model_without_latents_has_nothing_to_reconstruct_from():
    profile = load_profile(flags=SMALL | {"model.mode": "transformer"})
    plain = Loaded(build_model(profile, CODEC).eval(), CODEC, profile, (), Path(), Path("step-0"), False, 0)
    with pytest.raises(UsageError, match="no latents"):
        reconstruct(plain, SONGS[0])


@pytest.mark.slow
def test_only_the_beginning_is_made_of_the_beginning(loaded):
    beginning = reconstruct(loaded, SONGS[0], tokens=40)
    whole = CODEC.encode(SONGS[0])
    expected = CODEC.decode(whole.ids[:40], whole.maps)
    assert note_f1(expected, beginning) > 0.8
    assert beginning.end_tick <= 1.5 * expected.end_tick
