"""What is encoded of a piece of any length is what training would have the encoder say of its windows."""

import numpy as np
import pytest
import torch
from tests.support.latent_models import FLAT, small_vae
from tests.support.training import melody

from aurl.data.dataset import TokenDataset
from aurl.data.prepare import prepare
from aurl.data.windows import Window
from aurl.generation.context import header_length
from aurl.generation.encoding import Encoding, encode
from aurl.profile import load_profile

CONTEXT = 64


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """A data set of one piece, which is longer than three contexts."""
    folder = tmp_path_factory.mktemp("songs")
    (folder / "song.mid").write_bytes(melody(0, notes=70))
    profile = load_profile(flags={"prepare.split": {"kind": "glob"}}, check={"preprocess", "split"})
    prepare([folder / "song.mid"], profile, folder / "dataset", jobs=1)
    return TokenDataset(folder / "dataset", "train", seq_len=CONTEXT)


@pytest.fixture(scope="module")
def piece(windows):
    ids = windows.piece(0).tolist()
    assert len(ids) > 3 * CONTEXT
    return ids


@torch.inference_mode()
def posteriors(model, row, start_step):
    return model.encode(torch.tensor([row[1:]]), torch.tensor([start_step]))


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, FLAT, {"fine_size": 0}, {"local_size": 0}])
def test_a_piece_that_fits_is_encoded_whole(piece, options):
    model = small_vae(**options)
    ids = [*piece[:50], piece[-1]]
    found, expected = encode(model, ids, context=CONTEXT), posteriors(model, ids, 0)
    assert list(found.mean) == [level.name for level in model.levels]
    for name, posterior in expected.items():
        same(found.mean[name], posterior.mean)
        same(found.deviation[name], posterior.log_variance.exp().sqrt())


def test_windows_are_those_of_the_data_set_and_every_segment_is_of_one_that_shows_all_of_it(windows, piece):
    """Windows of 64 that begin 32 tokens before the end of the last: the header hides no more than 32 of them."""
    model = small_vae()
    found = encode(model, piece, context=CONTEXT)
    header = header_length(piece)
    assert 0 < header < 32
    first = windows[Window(0, 1, CONTEXT + 1)]
    expected = [posteriors(model, first.ids.tolist(), first.start_step)]
    for dropped in range(32, len(piece) - 1 - 32, 32):
        row = windows[Window(0, header + dropped + 1, min(dropped + CONTEXT + 1, len(piece)))]
        assert row.ids[:header].tolist() == piece[:header]
        expected.append(posteriors(model, row.ids.tolist(), row.start_step))
    for name, tokens in (("local", 32), ("fine", 16)):
        kept = 32 // tokens
        means = [expected[0][name].mean, *(later[name].mean[:, kept:] for later in expected[1:])]
        same(found.mean[name], torch.cat(means, 1))
        assert found.mean[name].shape[1] == -(-(len(piece) - 1) // tokens)


def test_each_window_has_a_global_latent_that_begins_where_the_one_before_ends(piece):
    """Windows of one latent overlap by the header only."""
    model, ids = small_vae(**FLAT), piece[:161]
    header = header_length(ids)
    parts, begin, fresh = [], 0, 0
    while fresh < 160:
        stop = min(begin + CONTEXT, 160)
        row = ids[:header] + ids[begin + header : stop + 1]
        shifts = np.array(ids[: begin + header if begin else 0])
        elapsed = int((shifts - 255)[(shifts > 255) & (shifts < 768)].sum())
        parts.append((fresh, posteriors(model, row, elapsed)["global"].mean))
        begin, fresh = stop - header, stop
    assert len(parts) == 3
    found = encode(model, ids, context=CONTEXT)
    same(found.mean["global"], torch.cat([mean for _, mean in parts], 1))
    assert found.begins == [fresh for fresh, _ in parts]


@pytest.mark.parametrize("context", [20, 33, 63, 100])
@pytest.mark.parametrize("options", [{}, {"local_tokens": 128}])
def test_any_context_gives_every_segment_its_latent(piece, context, options):
    """Even where a segment is longer than what the model may see."""
    model = small_vae(**options)
    found = encode(model, piece, context=context)
    for level in model.levels:
        count = level.count(len(piece) - 1) if level.tokens else len(found.begins)
        assert found.mean[level.name].shape == (1, count, level.size)
        assert torch.isfinite(found.mean[level.name]).all()
        assert (found.deviation[level.name] > 0).all()


def test_draws_are_the_means_and_as_many_deviations_as_asked(piece):
    encoding = encode(small_vae(), piece, context=CONTEXT)
    assert isinstance(encoding, Encoding)
    means, other = encoding.draw(1, 0.0), encoding.draw(2, 0.0)
    for name, mean in encoding.mean.items():
        assert torch.equal(means[name], mean)
        assert torch.equal(other[name], mean)
    once, again, twice = encoding.draw(1, 1.0), encoding.draw(1, 1.0), encoding.draw(1, 2.0)
    for name, mean in encoding.mean.items():
        assert torch.equal(once[name], again[name])
        same(twice[name] - mean, 2 * (once[name] - mean))
    draws = torch.cat([encoding.draw(seed, 1.0)["local"] - encoding.mean["local"] for seed in range(200)])
    scaled = draws / encoding.deviation["local"]
    assert float(scaled.mean()) == pytest.approx(0, abs=0.03)
    assert float(scaled.std()) == pytest.approx(1, abs=0.03)
