"""Runs whose windows tell what they are: trained, resumed, fine-tuned, and asked for music."""

import numpy as np
import pytest
from tests.support.training import facts, latent_profile, small_profile, tensors, told
from tests.training.test_resume import assert_same, fit_in_sittings

from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset, open_dataset
from aurl.errors import UsageError
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.request import Request
from aurl.generation.wishes import Wishes
from aurl.loss.reconstruction import Counts, targets_of
from aurl.model.build import build_controls
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import CHORD, GROUPS, MASK, NOTE_ON, PAD, SEP
from aurl.training.batches import Batch, ValidationBatches, batch_counts
from aurl.training.setup import valid_windows
from aurl.training.trainer import fit

CONTROLS = {
    "controls__facts": ["key", "density", "register"],
    "controls__chords": True,
    "controls__infill": 0.4,
    "controls__forget": 0.3,
    "controls__forget_all": 0.2,
    "data__seq_len": 96,
}
MODES = {"transformer": small_profile, "vae": lambda **given: latent_profile("vae", **given)}
STEPS = 6


def profile_of(mode="transformer", **given):
    return MODES[mode](**{**CONTROLS, "max_steps": STEPS, "eval_every": 3, "checkpoint_every": 3, **given})


@pytest.fixture(scope="module", params=MODES)
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def run(mode, dataset, tmp_path_factory):
    """Nobody writes to it."""
    folder = tmp_path_factory.mktemp("told") / mode
    fit(profile_of(mode), dataset, folder, threads=1)
    return folder


@pytest.mark.slow
def test_a_stopped_run_is_the_run_that_was_not(run, mode, dataset, tmp_path):
    fit_in_sittings(profile_of(mode), dataset, tmp_path / "parts", [2, 4])
    assert_same(run, tmp_path / "parts")


@pytest.mark.slow
def test_what_is_told_changes_what_is_learned(run, mode, dataset, tmp_path):
    fit(profile_of(mode, controls__forget=0.0), dataset, tmp_path / "other", threads=1)
    assert tensors(tmp_path / "other").keys() == tensors(run).keys()
    assert tensors(tmp_path / "other") != tensors(run)


def test_it_is_validated_on_all_that_is_told_and_no_mask(run, mode, dataset):
    profile, data = profile_of(mode), open_dataset(dataset)
    windows = valid_windows(profile, data, ())
    rows = [windows[number] for number in range(len(windows))]
    targets = np.concatenate([row.ids[row.context :] for row in rows])
    assert MASK not in np.concatenate([row.ids for row in rows])
    assert ((targets >= CHORD.start) & (targets < CHORD.stop)).any()
    counts = batch_counts(ValidationBatches(windows, batch_size=4, rank=0, world=1))
    assert counts == Counts(len(targets), int((targets < NOTE_ON.stop).sum()))
    assert [record for record in told(run) if "valid/nats_per_token" in record]


def test_no_mask_is_a_target_in_training(dataset):
    """What the trainer counts is what a loop over the same rows counts."""
    profile = profile_of()
    controls = build_controls(profile, open_dataset(dataset).codec, training=True)
    windows = TokenDataset(dataset, "train", seq_len=96, controls=controls)
    masks = 0
    for collated in loader(windows, WindowSampler(windows, batch_size=4, seed=1)):
        batch = Batch.of(collated)
        wanted = [
            [PAD if place < context or i == MASK else i for place, i in enumerate(row) if place]
            for row, context in zip(collated["ids"].tolist(), collated["context"].tolist(), strict=True)
        ]
        assert batch.targets.tolist() == wanted
        assert batch.counts.tokens == sum(i != PAD for row in wanted for i in row)
        masks += int((collated["ids"][:, 1:] == MASK).sum())
        assert batch.targets.equal(targets_of(collated["ids"], collated["context"]))
    assert masks > 20


@pytest.mark.parametrize(
    ("other", "key"),
    [({"controls__facts": ["key", "density"]}, "controls.facts"), ({"controls__chords": False}, "controls.chords")],
)
def test_it_cannot_go_on_being_told_other_things(run, mode, dataset, tmp_path, other, key):
    with pytest.raises(UsageError, match=key):
        fit(profile_of(mode, **other), dataset, tmp_path / "child", start_from=run, threads=1)
    assert not (tmp_path / "child" / "checkpoints").exists()


def test_it_can_go_on_being_told_less_often(run, mode, dataset, tmp_path):
    given = {"controls__infill": 0.0, "controls__forget": 0.0, "max_steps": 1}
    fit(profile_of(mode, **given), dataset, tmp_path / "child", start_from=run, threads=1)
    assert facts(tmp_path / "child")["parent"]["name"] == mode


def asked_of(run, **options):
    wishes = options.pop("wishes", Wishes(facts={"density": 12.0}, key=3, chords=(5, 9), chord_bars=0.5))
    request = Request(**{"seed": 1, "count": 2, "seconds": 6.0, "max_tokens": 200, "wishes": wishes, **options})
    return generate(run, request)


def test_it_is_asked_for_music(run):
    codec = load_run(run).codec
    assert (codec.facts, codec.chords, codec.infill) == (("key", "density", "register"), True, True)
    for piece in asked_of(run, guidance=1.5):
        ids = piece.ids.tolist()
        header = ids[: ids.index(SEP)]
        assert Grammar.of(codec).check(piece.ids) == []
        assert {GROUPS["density"].start + 7, GROUPS["key"].start + 3} <= {*header}
        told = [i - CHORD.start for i in ids if CHORD.start <= i < CHORD.stop]
        assert {*told} in ({5}, {9}, {5, 9})
        first = next(place for place, i in enumerate(ids) if i < NOTE_ON.stop)
        assert any(CHORD.start <= i < CHORD.stop for i in ids[:first])


def test_no_guidance_is_guidance_of_one(run):
    plain, one, two = (
        [piece.ids.tolist() for piece in asked_of(run, **given)] for given in ({}, {"guidance": 1.0}, {"guidance": 2.0})
    )
    assert plain == one != two


def test_bars_of_its_songs_are_filled_in(run, dataset):
    codec = load_run(run).codec
    song = codec.decode(next(iter(open_dataset(dataset).pieces("valid"))))
    [before] = [one.notes for one in song.tracks]
    [piece] = asked_of(run, count=1, wishes=Wishes(), seconds=None, prompt=song, infill="2:3")
    [after] = [one.notes for one in piece.score.tracks]
    kept = [
        {(int(n.onset[i]), int(n.pitch[i])) for i in range(len(n)) if not 1920 <= n.onset[i] < 3840}
        for n in (before, after)
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) > 10


def test_a_run_that_was_told_nothing_is_asked_in_vain(dataset, tmp_path):
    fit(small_profile(max_steps=1), dataset, tmp_path / "plain", threads=1)
    with pytest.raises(UsageError, match="never told chords"):
        asked_of(tmp_path / "plain", wishes=Wishes(chords=(1,)))
