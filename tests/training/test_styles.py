"""Styles from the labels of a data set to what a run learns of them."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tests.support.training import facts, latent_profile, small_profile, tensors, told, write_dataset

from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset, open_dataset
from aurl.errors import UsageError
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.request import Request
from aurl.model.build import build_model
from aurl.progress import Interrupts
from aurl.tokens.vocabulary import PAD
from aurl.training.batches import Batch, ValidationBatches
from aurl.training.bound import bound
from aurl.training.processes import Processes
from aurl.training.styles import style_numbers, styles_of
from aurl.training.trainer import fit, resume

SEQ_LEN = 48
RARE = (3, 5)
COMPOSERS = ["Rare" if number in RARE else "Bach" if number % 3 else "Mozart" for number in range(24)]
STYLES = ("Bach", "Mozart")
"""Of the 20 pieces to train with 13 are by the one, 6 by the other."""


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("styled"), composers=COMPOSERS)


def by_folder(data, split):
    """The style of each piece, from the folder that its file was in."""
    folders = [record.source.split("/")[-2] for record in data.records(split)]
    return [{"Bach": 0, "Mozart": 1, "Rare": -1}[folder] for folder in folders]


def test_styles_are_the_values_that_several_pieces_share(styled):
    data = open_dataset(styled)
    assert styles_of(data, "composer") == STYLES
    for split, pieces in (("train", 20), ("valid", 4)):
        numbers = style_numbers(data, split, "composer", STYLES)
        assert numbers.tolist() == by_folder(data, split)
        assert set(numbers.tolist()) == {-1, 0, 1}
        assert len(numbers) == pieces
    assert set(style_numbers(data, "train", "genre", STYLES).tolist()) == {-1}
    assert style_numbers(data, "test", "composer", STYLES).tolist() == []


def windows(folder, split="train", **options):
    numbers = style_numbers(open_dataset(folder), split, "composer", STYLES)
    return TokenDataset(folder, split, seq_len=SEQ_LEN, styles=numbers, **options)


def same(passage, rng, epoch):
    return passage


@pytest.mark.parametrize(
    ("workers", "options"),
    [
        (0, {}),
        (0, {"hybrid": True}),
        (0, {"augment": same}),
        pytest.param(2, {"augment": same}, marks=pytest.mark.slow),
    ],
)
def test_every_window_has_the_style_of_its_piece(styled, workers, options):
    dataset, expected = windows(styled, **options), by_folder(open_dataset(styled), "train")
    sampler = WindowSampler(dataset, batch_size=3, seed=4)
    batches = [Batch.of(collated) for collated in loader(dataset, sampler, workers=workers)]
    seen = set()
    for found, batch in zip(sampler, batches, strict=True):
        assert batch.style.dtype == torch.int64
        assert batch.style.tolist() == [expected[piece] for piece in found.piece.tolist()]
        seen |= set(batch.style.tolist())
    assert seen == {-1, 0, 1}
    assert batches[0].to(torch.device("meta")).style.device.type == "meta"


def test_a_data_set_without_styles_has_none(styled):
    dataset = TokenDataset(styled, "train", seq_len=SEQ_LEN)
    assert next(iter(ValidationBatches(dataset, batch_size=3, rank=0, world=1))).style is None


@torch.no_grad()
def test_the_bound_is_that_of_a_prior_that_is_told(styled):
    """Against each window by itself, its style from the folder that its file was in."""
    torch.manual_seed(0)
    data, dataset = open_dataset(styled), windows(styled, "valid")
    model = build_model(latent_profile("vae", latent__initial_log_variance=-12.0), data.codec, STYLES).eval()
    for parameter in model.prior.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    AcceleratorState._reset_state(reset_partial_state=True)
    batches = ValidationBatches(dataset, batch_size=3, rank=0, world=1)
    found = bound(model, batches, Accelerator(cpu=True), Processes(0, 1)).kl["global"]
    expected = dict.fromkeys(("told", "not told"), 0.0)
    styles = by_folder(data, "valid")
    for number, batch in enumerate(ValidationBatches(dataset, batch_size=1, rank=0, world=1)):
        posteriors = model.encode(batch.following, batch.start_steps)
        style = torch.tensor([[styles[dataset.windows.at(number).piece]]])
        assert (batch.following != PAD).any()
        expected["told"] += float(model.prior.kl(posteriors, style)["global"].sum())
        expected["not told"] += float(model.prior.kl(posteriors)["global"].sum())
    assert found == pytest.approx(expected["told"], rel=1e-4)
    assert abs(expected["told"] - expected["not told"]) > 1e-2 * abs(found)


def test_a_run_keeps_its_styles_and_is_resumed_exactly(styled, tmp_path):
    profile = latent_profile("vae", max_steps=12, log_every=5, latent__style="composer", sample_every=12)
    fit(profile, styled, tmp_path / "whole", threads=1)
    interrupts = Interrupts()

    def stop(progress):
        if progress.done == 7:
            interrupts.stop = 15

    assert fit(profile, styled, tmp_path / "parts", threads=1, interrupts=interrupts, report=stop).interrupted
    resume(tmp_path / "parts")
    assert facts(tmp_path / "parts")["styles"] == list(STYLES)
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    assert list((tmp_path / "whole" / "samples").iterdir())
    table = load_run(tmp_path / "whole").model.prior.conditions.tables[0].weight
    assert table.shape[0] == 1 + len(STYLES)
    pieces = [generate(tmp_path / "whole", Request(seed=3, seconds=2.0, style=style), threads=1) for style in STYLES]
    assert all(piece.score.note_count for (piece,) in pieces)


@pytest.mark.parametrize(
    ("label", "composers", "said"),
    [
        ("genre", COMPOSERS, "labels that there are: composer"),
        ("composer", (), "prepare with labels"),
        ("composer", [f"composer {number // 4}" for number in range(24)], "no composer has 5 pieces"),
    ],
)
def test_labels_that_make_no_styles(tmp_path, label, composers, said):
    folder = write_dataset(tmp_path, composers=composers)
    with pytest.raises(UsageError) as caught:
        fit(latent_profile("vae", max_steps=1, latent__style=label), folder, tmp_path / "run", threads=1)
    error = caught.value
    assert f"latent.style = {label!r}" in error.message
    assert said in f"{error.message}\n{error.hint}"
    assert "\n" not in f"{error.message}{error.hint}"
    assert not (tmp_path / "run").exists()


def test_without_latents_labels_are_not_asked_for(dataset, tmp_path):
    profile = small_profile(max_steps=1)
    unread = profile.model_copy(update={"latent": profile.latent.model_copy(update={"style": "genre"})})
    fit(unread, dataset, tmp_path / "run", threads=1)
    assert facts(tmp_path / "run")["styles"] == []


def test_a_condition_that_no_header_tells_is_refused(tmp_path):
    folder = write_dataset(tmp_path, pieces=10, valid=2, header=("key", "time_signature"))
    profile = latent_profile("vae", max_steps=1)
    asked = profile.latent.model_copy(update={"conditions": ("key", "tempo")})
    with pytest.raises(UsageError, match="conditions names tempo, which no header"):
        fit(profile.model_copy(update={"latent": asked}), folder, tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()
