import pytest
import torch
from tests.support.scores import score, track

from aurl.midi.score import KeySignatures, Tempos, TimeSignatures
from aurl.model.prior.conditions import (
    MOST_FORGOTTEN,
    STYLE,
    UNKNOWN,
    Conditions,
    condition_sizes,
    conditions_of,
    forget,
)
from aurl.studies.pitch_classes import KEYS
from aurl.tokens.codec import Codec
from aurl.tokens.header import HEADERS, tempo_bpm
from aurl.tokens.vocabulary import BOS, EOS, KEY, PAD, SEP, TEMPO, TIME_SIGNATURE, TIME_SIGNATURES

NAMES = ("key", "tempo", "time_signature")


def encode(*, header=HEADERS, **maps):
    return Codec(header=header).encode(score(track((0, 32, 60, 64), (32, 32, 64, 64)), **maps)).ids.tolist()


def rows(*pieces):
    longest = max(map(len, pieces))
    return torch.tensor([piece + [PAD] * (longest - len(piece)) for piece in pieces])


def test_reads_what_a_codec_wrote():
    waltz = encode(
        tempos=Tempos([0], [500_000]),
        time_signatures=TimeSignatures([0], [3], [4]),
        key_signatures=KeySignatures([0], [-3], [True]),
    )
    found = conditions_of(rows(waltz, encode()), NAMES)
    key, tempo, meter = found[0].tolist()
    assert KEYS[key] == (-3, True)
    assert tempo_bpm(tempo) == pytest.approx(120, rel=0.04)
    assert TIME_SIGNATURES[meter] == (3, 4)
    assert found[1].tolist() == [UNKNOWN] * 3
    assert found.dtype == torch.int64


def test_each_row_and_name_for_itself():
    ids = rows([BOS, TEMPO.start + 5, SEP, 60], [BOS, KEY.start, KEY.start + 3, SEP, 60, EOS], [60, 61, 62])
    assert conditions_of(ids, ("tempo", "key")).tolist() == [[5, -1], [-1, 0], [-1, -1]]
    assert conditions_of(ids, ("key",)).tolist() == [[-1], [0], [-1]]
    assert conditions_of(ids, ()).shape == (3, 0)


def test_only_the_header_counts():
    ids = rows([BOS, SEP, KEY.start + 3, 60], [BOS, KEY.start + 1, SEP, 60, TIME_SIGNATURE.start, SEP, TEMPO.start])
    assert conditions_of(ids, NAMES).tolist() == [[-1, -1, -1], [1, -1, -1]]


def test_every_value_has_a_vector_of_its_own():
    torch.manual_seed(0)
    embed = Conditions(condition_sizes(("key", "tempo")), 8)
    keys = torch.arange(-1, KEY.size)
    vectors = embed(torch.stack([keys, torch.full_like(keys, UNKNOWN)], 1))
    assert vectors.shape == (KEY.size + 1, 8)
    assert torch.pdist(vectors).min() > 1e-3
    swapped = embed(torch.tensor([[2, 7], [7, 2]]))
    assert not torch.allclose(swapped[0], swapped[1])


def test_a_style_is_one_more_column_behind_the_header():
    ids = rows([BOS, KEY.start + 3, SEP, 60, 61], [BOS, SEP, 60], [60, 61, 62])
    names = tuple(condition_sizes(("key",), 4))
    assert names == ("key", STYLE)
    assert conditions_of(ids, names, torch.tensor([2, UNKNOWN, 0])).tolist() == [[3, 2], [-1, -1], [-1, 0]]
    assert conditions_of(ids, names).tolist() == [[3, -1], [-1, -1], [-1, -1]]
    assert condition_sizes(("key",)) == {"key": KEY.size}
    vectors = Conditions({STYLE: 4}, 8)(torch.arange(-1, 4)[:, None])
    assert vectors.shape == (5, 8)
    assert torch.pdist(vectors).min() > 1e-3


def test_a_random_share_is_forgotten():
    torch.manual_seed(0)
    values = torch.randint(0, 9, (20_000, 3))
    known = forget(values)
    forgotten = known == UNKNOWN
    assert torch.equal(known[~forgotten], values[~forgotten])
    share = torch.linspace(0, MOST_FORGOTTEN, 10_001)
    kept_all, forgot_all = ((1 - share) ** 3).mean(), (share**3).mean()
    counts = forgotten.sum(1)
    assert (counts == 0).float().mean() == pytest.approx(float(kept_all), abs=0.02)
    assert (counts == 3).float().mean() == pytest.approx(float(forgot_all), abs=0.01)
    assert forgotten.float().mean(0).tolist() == pytest.approx([MOST_FORGOTTEN / 2] * 3, abs=0.02)
