"""Windows that tell what they are: drawn alike anywhere, whole in validation."""

import numpy as np
import pytest
import torch
from tests.support.datasets import make_profile
from tests.support.midi_files import write_file
from tests.support.tunes import tune

from aurl.controls.told import Controls
from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset, open_dataset
from aurl.data.prepare import prepare
from aurl.data.truncation import TRUNCATION
from aurl.errors import UsageError
from aurl.loss.reconstruction import targets_of
from aurl.midi.write import write_midi
from aurl.model.build import build_controls, build_model, model_codec
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import FACTS, GROUPS, MASK, NOTE_ON, PAD, SEP, TIME_SHIFT

SEQ_LEN = 160
TELL = ['controls.facts=["key","density","polyphony","register","dynamics"]', "controls.chords=true"]
OFTEN = ["controls.infill=0.5", "controls.forget=0.3", "controls.forget_all=0.2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("told")
    (root / "midi").mkdir()
    for seed in range(10):
        write_file(root / "midi" / f"{'valid' if seed < 2 else 'train'}-{seed}.mid", write_midi(tune(seed)))
    profile = make_profile('prepare.split={kind="glob", valid=["*/valid-*"]}')
    prepare([root / "midi"], profile, root / "dataset", jobs=1)
    return root / "dataset"


def controls_of(folder, *overrides, training=True, seq_len=SEQ_LEN):
    profile = load_profile(overrides=[f"data.seq_len={seq_len}", *overrides])
    return build_controls(profile, open_dataset(folder).codec, training=training)


def windows_of(folder, split="train", *, training=True, overrides=(*TELL, *OFTEN), **options):
    controls = controls_of(folder, *overrides, training=training)
    return TokenDataset(folder, split, seq_len=SEQ_LEN, controls=controls, **options)


def batches(dataset, *, workers=0, epoch=0, **options):
    sampler = WindowSampler(dataset, batch_size=4, seed=7, epoch=epoch, **options)
    return [
        {name: column.numpy().copy() for name, column in batch.items()}
        for batch in loader(dataset, sampler, workers=workers)
    ]


def assert_same(one, other):
    assert len(one) == len(other) > 3
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def has(ids, group):
    return (ids >= group.start) & (ids < group.stop)


def test_an_epoch_is_the_same_again_and_another_is_another(folder):
    first = batches(windows_of(folder))
    assert_same(first, batches(windows_of(folder)))
    later = batches(windows_of(folder), epoch=1)
    assert any(not np.array_equal(one["ids"], other["ids"]) for one, other in zip(first, later, strict=False))


def test_an_epoch_goes_on_from_any_batch(folder):
    assert_same(batches(windows_of(folder))[5:], batches(windows_of(folder), start_batch=5))


@pytest.mark.slow
def test_other_processes_tell_the_same(folder):
    truncation = TRUNCATION.from_component({"kind": "adaptive"})
    options = {"truncation": truncation}
    assert_same(batches(windows_of(folder, **options)), batches(windows_of(folder, **options), workers=2))


def test_a_row_is_the_window_by_itself(folder):
    dataset = windows_of(folder)
    drawn = dataset.draw(np.random.default_rng(0)).drawn(3, 1)
    windows = [drawn.at(number) for number in range(len(drawn))]
    rows = dataset.__getitems__(windows)
    for number, window in enumerate(windows):
        alone = dataset[window]
        ids = rows.ids[number]
        assert ids[: len(alone.ids)].tolist() == alone.ids.tolist()
        assert set(ids[len(alone.ids) :].tolist()) <= {PAD}
        assert (rows.start_steps[number], rows.context[number]) == (alone.start_step, alone.context)
    # Some is forgotten, some bars are told last, and not in all.
    header = [row[: row.tolist().index(SEP) + 1] for row in rows.ids]
    assert 0 < np.mean([(one == MASK).any() for one in header]) < 1
    assert 0 < np.mean([(row == SEP).sum() == 3 for row in rows.ids]) < 1


@pytest.mark.parametrize("overrides", [TELL[:1], TELL[1:], TELL, [*TELL, *OFTEN]])
def test_room_is_left_for_all_that_is_told(folder, overrides):
    """No window becomes longer than the model is trained for; little is cut off music of many chords."""
    controls = controls_of(folder, *overrides)
    dataset = windows_of(folder, overrides=overrides)
    plain = TokenDataset(folder, "train", seq_len=SEQ_LEN - controls.room)
    assert dataset.seq_len == SEQ_LEN - controls.room
    windows = [dataset.windows.at(number) for number in range(len(dataset))]
    assert windows == [plain.windows.at(number) for number in range(len(plain))]
    told = [dataset[window].ids for window in windows]
    assert max(map(len, told)) <= SEQ_LEN + 1
    music, whole = (
        sum(int((has(ids, NOTE_ON) | has(ids, TIME_SHIFT)).sum()) for ids in rows)
        for rows in (told, [plain[window].ids for window in windows])
    )
    assert 0.98 * whole < music <= whole
    assert music == whole or "controls.chords=true" in overrides


def test_a_header_that_leaves_no_room_is_named(folder):
    with pytest.raises(UsageError, match="header") as caught:
        TokenDataset(folder, "train", seq_len=30, controls=controls_of(folder, *TELL, *OFTEN, seq_len=30))
    assert "data.seq_len" in caught.value.hint


def test_validation_tells_everything_and_predicts_all_music_once(folder):
    dataset = windows_of(folder, "valid", training=False)
    rows = [dataset[number] for number in range(len(dataset))]
    assert len(rows) > 10
    predicted = []
    for row in rows:
        assert MASK not in row.ids
        assert (row.ids == SEP).sum() == 1
        names = {name for name in FACTS if has(row.ids[: row.header], GROUPS[name]).any()}
        assert {"density", "polyphony", "register", "dynamics"} <= names
        targets = targets_of(*_tensors(row))[0].numpy()
        predicted += targets[(targets != PAD) & ~_told(targets)].tolist()
    music = [i for ids in open_dataset(folder).pieces("valid") for i in ids[1:].tolist()]
    assert predicted == [i for i, told in zip(music, _told(np.array(music)), strict=True) if not told]


def _told(ids):
    """What is told of music: facts, among them the key that is measured in place of that of the file, and chords."""
    return np.logical_or.reduce([has(ids, GROUPS[name]) for name in (*FACTS, "chord")])


def _tensors(row):
    return torch.tensor(row.ids.astype(np.int64))[None], torch.tensor([row.context])


def test_mask_is_never_predicted_and_always_seen(folder):
    dataset = windows_of(folder, overrides=[*TELL, "controls.forget_all=0.99", "controls.infill=0.9"])
    rows = dataset.__getitems__(dataset.draw(np.random.default_rng(1)).drawn(1, 0))
    ids, context = torch.tensor(rows.ids), torch.tensor(rows.context)
    targets = targets_of(ids, context)
    assert (ids == MASK).sum() > 100
    assert not (targets == MASK).any()
    place = torch.arange(1, ids.shape[1])
    hidden = (ids[:, 1:] == MASK) | (place < context[:, None])
    assert torch.equal(targets, torch.where(hidden, PAD, ids[:, 1:]))


def test_only_training_forgets(folder):
    told, forgetful = controls_of(folder, *TELL, *OFTEN, training=False), controls_of(folder, *TELL, *OFTEN)
    passage = TokenDataset(folder, "train", seq_len=100)[0]
    drawn = [one(passage, np.random.default_rng(seed)).ids.tobytes() for one in (told, forgetful) for seed in range(9)]
    assert len({*drawn[:9]}) == 1
    assert len({*drawn[9:]}) > 3


def test_a_profile_that_tells_nothing_builds_nothing(folder):
    assert controls_of(folder) is None
    assert controls_of(folder, "controls.forget=0.5", training=False) is None
    assert isinstance(controls_of(folder, "controls.infill=0.1", training=False), Controls)


@pytest.mark.parametrize("mode", ["transformer", "vae"])
@pytest.mark.parametrize(
    ("overrides", "last"),
    [
        ([], "key"),
        (['controls.facts=["density"]'], "density"),
        (["controls.chords=true"], "chord"),
        (["controls.infill=0.5"], "key"),
        (TELL, "dynamics"),
    ],
)
def test_a_model_knows_the_ids_that_its_windows_tell(mode, overrides, last):
    codec = Codec()
    profile = load_profile([mode, "tiny"], overrides)
    told = model_codec(profile, codec)
    assert told.vocabulary_size == GROUPS[last].stop
    assert told.has_controls == bool(overrides)
    assert told.signature() == codec.signature()
    model = build_model(profile, codec)
    assert model.embedding.ids.shape[0] == told.vocabulary_size
