import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.latent_runs import load_audible, write_latent_run

from aurl.data.dataset import TokenDataset
from aurl.errors import NotFoundError, UsageError
from aurl.generation.load import load_run
from aurl.latent.codes import open_windows, require_latents, spread
from aurl.latent.codes_kept import FOLDER, load_codes
from aurl.latent.factors import FACTORS
from aurl.storage import read_json, write_json
from aurl.tokens.vocabulary import PAD


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_audible(write_latent_run(tmp_path_factory.mktemp("codes")))


@pytest.fixture(scope="module")
def codes(loaded):
    return load_codes(loaded)


def test_codes_are_what_the_encoder_says_of_each_window_alone(loaded, codes):
    windows = TokenDataset(loaded.run.parent / "dataset", "valid", seq_len=64)
    assert len(codes.piece) == len(windows) > 9
    for number in range(len(windows)):
        rows = windows.__getitems__([number])
        with torch.inference_mode():
            found = loaded.model.encode(torch.from_numpy(rows.ids[:, 1:]), torch.from_numpy(rows.start_steps))
        count = (rows.ids[0] != PAD).sum() - 1
        for name, posterior in found.items():
            level = codes.levels[name]
            own = level.window == number
            assert own.sum() == (1 if name == "global" else -(-count // {"local": 32, "fine": 16}[name]))
            assert level.mean[own] == pytest.approx(posterior.mean[0].numpy(), abs=1e-5)
            assert level.log_variance[own] == pytest.approx(posterior.log_variance[0].numpy(), abs=1e-5)


def test_every_latent_has_factors_labels_and_a_piece(codes):
    for name, level in codes.levels.items():
        factors, labels = codes.factors(name), codes.labels(name)
        assert factors.keys() == {*FACTORS, "tempo"}
        assert {len(values) for values in factors.values()} == {len(level)}
        assert (factors["tempo"] == 120).all()
        assert np.isfinite(factors["register"]).mean() > 0.9
        assert set(labels["composer"]) == {"Bach", "Mozart", "Clara Schumann"}
        assert set(labels["meter"]) == {"4/4"}
        assert {len(words) for words in labels.values()} == {len(level)}
        assert len(codes.groups(name)) == len(level)
    assert len(set(codes.piece.tolist())) == len(set(codes.sources)) >= 9
    assert set(codes.sources) >= {f"valid-{number}.mid" for number in range(9)}
    assert (codes.levels["global"].window == np.arange(len(codes.piece))).all()


def test_keys_are_those_that_are_heard_whatever_a_data_set_calls_so(codes):
    named = replace(codes, words={**codes.words, "key": ["opus 3"] * len(codes.piece)})
    assert named.labels("global") == codes.labels("global")


def test_draws_depend_on_the_seed_and_are_as_wide_as_the_posteriors(codes):
    level = codes.levels["fine"]
    assert (level.draw(1) == level.draw(1)).all()
    assert (level.draw(1) != level.draw(2)).any()
    whitened = (level.draw(1) - level.mean) / np.exp(0.5 * level.log_variance)
    assert whitened.std() == pytest.approx(1, abs=0.1)


def test_second_call_reads_what_the_first_kept(loaded, codes):
    told = []
    again = load_codes(loaded, report=told.append)
    assert not told
    assert (again.piece == codes.piece).all()
    assert (again.words, list(again.sources), again.split) == (codes.words, list(codes.sources), "valid")
    for name, level in codes.levels.items():
        other = again.levels[name]
        assert (other.mean == level.mean).all()
        assert (other.log_variance == level.log_variance).all()
        assert list(other.keys) == list(level.keys)
        assert other.measured.keys() == level.measured.keys()
        assert all(np.array_equal(other.measured[name], level.measured[name], equal_nan=True) for name in FACTORS)


def test_other_windows_are_other_codes(loaded, codes):
    few = load_codes(loaded, limit=3)
    assert len(few.piece) == 3
    train = load_codes(loaded, split="train", limit=4)
    assert not set(train.sources) & set(codes.sources)


def test_damaged_file_is_made_again(loaded, codes, caplog):
    for path in (loaded.run / FOLDER).glob("codes-*"):
        path.write_bytes(path.read_bytes()[:100])
    again = load_codes(loaded)
    assert (again.levels["global"].mean == codes.levels["global"].mean).all()
    assert "made again" in caplog.text
    assert not list((loaded.run / FOLDER).glob(".*"))


def test_run_that_cannot_be_written_to_gives_codes_all_the_same(loaded, codes, monkeypatch, caplog):
    folder = loaded.run / FOLDER
    for path in folder.glob("codes-*"):
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    try:
        assert len(load_codes(loaded, limit=2).piece) == 2
        assert "cannot be kept" in caplog.text
    finally:
        folder.unlink()


def test_windows_are_spread():
    assert spread(10, 5) == [0, 2, 4, 6, 8]
    assert spread(3, 5) == [0, 1, 2]


def test_what_cannot_be_looked_into(loaded, tmp_path):
    with pytest.raises(UsageError, match="has 0 windows") as caught:
        load_codes(loaded, split="test")
    assert "--split" in caught.value.hint
    with pytest.raises(NotFoundError):
        load_codes(loaded, tmp_path / "nothing")
    run = write_latent_run(tmp_path / "other", mode="transformer")
    with pytest.raises(UsageError, match="mode transformer, which has no latents") as caught:
        require_latents(load_run(run))
    assert "--profile vae" in caught.value.hint


def test_data_set_of_another_spelling_is_refused(loaded, tmp_path):
    run = write_latent_run(tmp_path)
    write_json(run / "run.json", read_json(run / "run.json") | {"codec": json.loads('{"parts": false}')})
    with pytest.raises(UsageError, match="not spelt as") as caught:
        open_windows(loaded.__class__(**{**loaded.__dict__, "run": run}))
    assert "--data" in caught.value.hint
