"""Landscapes of real runs: the middle is the validation loss, stopping loses nothing."""

import json
from dataclasses import replace

import pytest
import torch
from tests.support.training import latent_profile, small_profile

from aurl.errors import DamagedError, UsageError
from aurl.generation.load import load_run
from aurl.model.twice import differentiable_twice
from aurl.progress import Interrupts
from aurl.training.acceleration import start_accelerator
from aurl.training.bound import bound
from aurl.training.landscape import Landscape, look, picture, prepare_look
from aurl.training.landscape.sharpness import Parts, hessian_product, loss_of
from aurl.training.landscape.weights import norm, parameters_of
from aurl.training.landscape.windows import WindowLoss, spread_windows
from aurl.training.setup import valid_windows
from aurl.training.trainer import fit
from aurl.training.validation import likelihood

ALL_WINDOWS = 10_000
PROFILES = {
    "transformer": small_profile(max_steps=40),
    "vae": latent_profile("vae", max_steps=20),
}


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, profile in PROFILES.items():
        fit(profile, dataset, folder / name, threads=1)
    return folder


def validated(run, loaded, dataset):
    """What training itself measures."""
    from aurl.data.dataset import open_dataset

    batches = spread_windows(valid_windows(loaded.profile, open_dataset(dataset), ()), ALL_WINDOWS, batch_size=4)
    accelerator, processes = start_accelerator(loaded.profile, device="cpu", precision="fp32")
    measure = bound if loaded.model.levels else likelihood
    return measure(loaded.model, batches, accelerator, processes).metrics


@pytest.mark.parametrize("mode", PROFILES)
def test_middle_is_the_plain_validation_loss(runs, dataset, mode):
    looking = prepare_look(runs / mode, points=3, windows=ALL_WINDOWS)
    before = {name: tensor.clone() for name, tensor in looking.loaded.model.state_dict().items()}
    kept = []
    found = look(looking, keep=kept.append)
    name = {"transformer": "nats_per_token", "vae": "elbo_per_token"}[mode]
    metrics = validated(runs / mode, load_run(runs / mode, packed=False), dataset)
    assert found.question.loss == name
    assert found.tokens == metrics["valid/tokens"]
    assert found.centre == pytest.approx(metrics[f"valid/{name}"], rel=1e-12)
    assert found.is_whole
    assert kept[-1] == found
    assert found.sharpness.ascent > 0
    assert all(loss > found.centre for row in found.losses[::2] for loss in row)
    now = looking.loaded.model.state_dict()
    assert all(torch.equal(now[key], tensor) for key, tensor in before.items())


def slopes(parts: Parts, parameters, vector, size):
    """Hessian times vector by central differences of the gradient, in float64."""
    found = []
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, side in zip(parameters, vector, strict=True):
                parameter.add_(side, alpha=sign * size)
        found.append(torch.autograd.grad(sum(parts()), parameters, materialize_grads=True))
        with torch.no_grad():
            for parameter, side in zip(parameters, vector, strict=True):
                parameter.add_(side, alpha=-sign * size)
    return [(one - other) / (2 * size) for one, other in zip(*found, strict=True)]


PATTERNS = ["full", "sliding_window", "hierarchical", "multi_scale"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_second_derivatives_of_every_attention_kind(pattern):
    """Against differences of first derivatives; the loss itself is that of training's own kernels."""
    from tests.support.latent_models import small_vae

    ids = torch.randint(60, 100, (2, 33), generator=torch.Generator().manual_seed(0))
    options = {"sliding_window": {"window": 8}, "hierarchical": {"window": 8}, "multi_scale": {"windows": [4, 8]}}
    attention = {pattern: options[pattern]} if pattern in options else {}
    model = small_vae(packed=False, model__pattern=[pattern], model__attention=attention).double()
    model.encoder.requires_grad_(False)
    parameters = [parameter for name, parameter in model.named_parameters() if name.startswith("decoder")]

    def parts():
        logits = model(ids[:, :-1])
        return [logits.logsumexp(-1).square().mean()]

    generator = torch.Generator().manual_seed(1)
    vector = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
    with differentiable_twice():
        exact = hessian_product(parts, parameters, vector)
        near = slopes(parts, parameters, vector, 1e-5)
        again = loss_of(parts)
    assert again == pytest.approx(loss_of(parts), rel=1e-9)
    difference = [one - other for one, other in zip(exact, near, strict=True)]
    assert norm(difference) < 1e-3 * norm(near)
    assert norm(near) > 1


def test_stopping_and_going_on_gives_the_same(runs, tmp_path):
    whole = look(prepare_look(runs / "transformer", points=5, windows=3), keep=lambda known: None)
    looking, interrupts = prepare_look(runs / "transformer", points=5, windows=3), Interrupts()

    def report(progress):
        if progress.done == 13:  # in the middle of the third row
            interrupts.stop = 2

    file = tmp_path / "found.json"
    part = look(looking, keep=lambda known: known.write(file), report=report, interrupts=interrupts)
    assert (len(part.losses), part.is_whole, part.centre) == (2, False, None)
    again = prepare_look(runs / "transformer", points=5, windows=3)
    again.known = Landscape.read(file)
    assert again.known == part
    asked = []
    found = look(again, keep=lambda known: None, report=lambda progress: asked.append(progress.task))
    assert found == whole
    assert asked.count("surface") == 15
    found.write(file)
    assert Landscape.read(file) == found


def test_every_point_hears_the_same_draws(runs):
    loss = prepare_look(runs / "vae", windows=4).loss
    state = torch.get_rng_state()
    assert loss_of(loss) == loss_of(loss)
    assert torch.equal(torch.get_rng_state(), state)


def test_plane_of_the_checkpoints(runs):
    looking = prepare_look(runs / "transformer", points=3, span=1.2, windows=2, pca=True)
    assert len(looking.plane.places) >= 2
    assert sum(looking.plane.explained) <= 1 + 1e-9
    found = look(looking, keep=lambda known: None)
    assert set(found.trajectory) == set(looking.plane.places)
    assert found.question.directions == "pca"
    assert picture(found).startswith(b"\x89PNG")


def test_picture_of_what_is_not_finite(runs):
    looking = prepare_look(runs / "transformer", points=3, windows=1)
    found = look(looking, keep=lambda known: None)
    for losses in (((None, None, None),) * 3, ((1.0, None, 2.0), (1.0, 1.0, 1.0), (None, 3.0, 1e30))):
        assert picture(replace(found, losses=losses)).startswith(b"\x89PNG")


def test_windows_are_spread_over_the_split(runs, dataset):
    loaded = load_run(runs / "transformer", packed=False)
    from aurl.data.dataset import open_dataset

    windows = valid_windows(loaded.profile, open_dataset(dataset), ())
    batches = spread_windows(windows, 3, batch_size=2)
    assert [len(batch.inputs) for batch in batches] == [2, 1]
    known = len(windows)
    third = windows.__getitems__([known * 2 // 3]).ids[0]
    assert batches[1].inputs[0].tolist() == third[:-1].tolist()
    loss = WindowLoss(loaded.model, batches)
    assert loss.tokens == sum(batch.counts.tokens for batch in batches)
    assert len(parameters_of(loaded.model)) == len(list(loaded.model.parameters()))


@pytest.mark.parametrize(
    ("options", "said"), [({"points": 4}, "odd"), ({"points": 1}, "odd"), ({"span": 0.0}, "above 0")]
)
def test_what_cannot_be_is_refused(runs, options, said):
    with pytest.raises(UsageError) as caught:
        prepare_look(runs / "transformer", **options)
    assert said in caught.value.hint


def test_another_data_set_is_refused(runs, tmp_path):
    from tests.support.training import write_dataset

    other = write_dataset(tmp_path, pieces=6, valid=2, header=())
    with pytest.raises(UsageError, match="not spelt"):
        prepare_look(runs / "transformer", dataset=other)


def test_files_that_are_no_landscape_are_damaged(tmp_path):
    for content in ([], {"schema_version": 9}, {"schema_version": 1, "question": {}}):
        (tmp_path / "x.json").write_text(json.dumps(content))
        with pytest.raises(DamagedError):
            Landscape.read(tmp_path / "x.json")
