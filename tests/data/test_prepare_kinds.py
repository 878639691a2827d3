"""Kinds of input and of treatment, all the way from the paths to the data set."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.support.datasets import contents, make_profile
from tests.support.midi_files import smf, tune, write_file, write_tunes

from aurl.augment import Augmenter
from aurl.data.dataset import TokenDataset, open_dataset
from aurl.data.pieces import PieceReader
from aurl.data.prepare import prepare
from aurl.midi.score import Notes, Score, Track
from aurl.midi.write import write_midi
from aurl.tokens.vocabulary import NOTE_ON

ABC = b"""X:1
T:One
M:4/4
L:1/4
K:C
C D E F|G A B c|

X:2
T:Two
M:3/4
L:1/4
K:G
G A B|c d e|
"""


@pytest.fixture
def library(tmp_path):
    write_tunes(tmp_path / "midi", 20)
    return tmp_path / "midi"


def pieces(folder):
    """Every piece: (record, ids, split)."""
    found = []
    for split in ("train", "valid", "test"):
        reader = PieceReader(folder, split)
        found += [(reader.record(number), reader.piece(number).tolist(), split) for number in range(len(reader))]
    return found


def test_archives_gzip_and_notation_become_pieces(tmp_path):
    tunes = {f"folder/{number}.mid": tune(number) for number in range(6)}
    library = tmp_path / "music"
    library.mkdir()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in list(tunes.items())[:3]:
            archive.writestr(name, content)
        archive.writestr("folder/broken.mid", b"no music")
    write_file(library / "pack.zip", packed.getvalue())
    write_file(library / "three.mid.gz", gzip.compress(tunes["folder/3.mid"]))
    write_file(library / "tunes.abc", ABC)
    write_file(library / "cut.zip", packed.getvalue()[:-40])
    profile = make_profile()
    result = prepare([library], profile, tmp_path / "dataset", jobs=1)
    assert result.files == 8
    assert result.files == result.prepared + result.rejected
    found = {
        Path(record.source).as_posix().removeprefix(library.as_posix()): ids for record, ids, _ in pieces(result.folder)
    }
    assert sorted(found) == [
        "/pack.zip!/folder/0.mid",
        "/pack.zip!/folder/1.mid",
        "/pack.zip!/folder/2.mid",
        "/three.mid.gz",
        "/tunes.abc!/1",
        "/tunes.abc!/2",
    ]
    plain = tmp_path / "plain"
    for name, content in list(tunes.items())[:4]:
        write_file(plain / Path(name).name, content) if plain.exists() else plain.mkdir()
    write_file(plain / "0.mid", tunes["folder/0.mid"])
    same = prepare([plain], profile, tmp_path / "same", jobs=1)
    by_name = {Path(record.source).name: ids for record, ids, _ in pieces(same.folder)}
    assert found["/pack.zip!/folder/0.mid"] == by_name["0.mid"]
    assert found["/three.mid.gz"] == by_name["3.mid"]
    assert [id_ for id_ in found["/tunes.abc!/2"] if id_ < NOTE_ON.stop] == [67, 69, 71, 72, 74, 76]
    assert {reason: reject.files for reason, reject in result.rejects.items()} == {"damaged_archive": 1, "not_midi": 1}
    again = prepare([library], profile, tmp_path / "dataset", jobs=1)
    assert again.unchanged
    assert again.files == 8


def test_a_divided_file_is_several_pieces_of_one_split(library, tmp_path):
    profile = make_profile('prepare.preprocess=[{kind="segment", bars=4, min_bars=2}]', 'prepare.dedupe="off"')
    result = prepare([library], profile, tmp_path / "dataset", jobs=1)
    whole = prepare([library], make_profile(), tmp_path / "whole", jobs=1)
    assert (result.files, result.prepared) == (20, 20)
    assert result.pieces > 40
    assert result.notes == whole.notes, "no onset is lost"
    by_file = {}
    for record, _, split in pieces(tmp_path / "dataset"):
        by_file.setdefault(record.sha256, []).append((record.segment, split, record.notes))
    notes = {record.sha256: record.notes for record, _, _ in pieces(tmp_path / "whole")}
    for sha256, parts in by_file.items():
        assert sorted(number for number, _, _ in parts) == list(range(len(parts)))
        assert len({split for _, split, _ in parts}) == 1
        assert sum(count for _, _, count in parts) == notes[sha256]
    gone = min(library.rglob("*.mid"))
    gone.unlink()
    fewer = prepare([library], profile, tmp_path / "dataset", jobs=1)
    assert (fewer.prepared, fewer.removed) == (19, 1)
    assert not any(record.source == str(gone) for record, _, _ in pieces(tmp_path / "dataset"))


def test_segments_that_are_too_short_or_filtered_are_counted(tmp_path):
    rows = [(480 * beat, 240, 60 + beat % 7, 80) for beat in range(32)] + [(480 * 33, 240, 60, 80)]
    write_file(tmp_path / "a.mid", smf(rows))
    steps = '{kind="segment", bars=4, min_bars=1}'
    profile = make_profile(f"prepare.preprocess=[{steps}]", "prepare.min_notes=2")
    result = prepare([tmp_path / "a.mid"], profile, tmp_path / "short", jobs=1)
    assert (result.prepared, result.pieces) == (1, 2)
    assert result.repairs["short_segments"].count == 1
    profile = make_profile(f'prepare.preprocess=[{steps}, {{kind="length", unit="notes", least=2}}]')
    result = prepare([tmp_path / "a.mid"], profile, tmp_path / "filtered", jobs=1)
    assert (result.prepared, result.pieces) == (1, 2)
    assert result.repairs["filtered_segments"].count == 1
    profile = make_profile(f'prepare.preprocess=[{steps}, {{kind="length", unit="notes", least=100}}]')
    result = prepare([tmp_path / "a.mid"], profile, tmp_path / "none", jobs=1)
    assert (result.prepared, result.rejects["filtered"].files) == (0, 1)


def copies(folder, seeds):
    """Each tune, and a copy of it a third higher and another one louder."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        onsets = np.cumsum(rng.integers(1, 5, 150)) * 120
        pitches = np.clip(60 + np.cumsum(rng.integers(-4, 5, 150)), 30, 90)
        for number, (shift, velocity) in enumerate(((0, 70), (4, 70), (0, 100))):
            rows = [(int(on), 110, int(pitch) + shift, velocity) for on, pitch in zip(onsets, pitches, strict=True)]
            folder.mkdir(exist_ok=True)
            write_file(folder / f"{seed}-{number}.mid", smf(rows))


def test_copies_in_another_key_share_a_split(tmp_path):
    copies(tmp_path / "midi", range(12))
    profile = make_profile('prepare.split={kind="hash", valid=0.3, test=0.3}')
    result = prepare([tmp_path / "midi"], profile, tmp_path / "dataset", jobs=1)
    assert result.audit["near_duplicates"]["groups"] == 12
    assert result.audit["near_duplicates"]["files"] == result.prepared == 36
    splits = {}
    for record, _, split in pieces(tmp_path / "dataset"):
        splits.setdefault(Path(record.source).name.partition("-")[0], set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) == 3


def test_one_of_each_group_is_kept(tmp_path):
    copies(tmp_path / "midi", range(6))
    profile = make_profile('prepare.dedupe="keep-one"')
    result = prepare([tmp_path / "midi"], profile, tmp_path / "dataset", jobs=1)
    assert (result.files, result.prepared, result.left_out) == (18, 6, 12)
    assert result.files == result.prepared + result.rejected + result.duplicates + result.left_out
    kept = [Path(record.source).name.partition("-")[0] for record, _, _ in pieces(tmp_path / "dataset")]
    assert sorted(kept) == sorted(map(str, range(6)))
    assert sum(result.audit["histograms"]["pitch"]) == result.notes == 6 * 150
    everything = prepare([tmp_path / "midi"], make_profile('prepare.dedupe="off"'), tmp_path / "dataset", jobs=1)
    assert (everything.new, everything.prepared, everything.left_out) == (0, 18, 0), "nothing is encoded again"


def test_a_copy_that_comes_later_joins_its_original(tmp_path):
    copies(tmp_path / "midi", range(8))
    late = {path: path.read_bytes() for path in (tmp_path / "midi").glob("*-[12].mid")}
    for path in late:
        path.unlink()
    profile = make_profile('prepare.split={kind="hash", valid=0.3, test=0.3}')
    prepare([tmp_path / "midi"], profile, tmp_path / "dataset", jobs=1)
    before = {Path(record.source).name: split for record, _, split in pieces(tmp_path / "dataset")}
    for path, content in late.items():
        write_file(path, content)
    prepare([tmp_path / "midi"], profile, tmp_path / "dataset", jobs=1)
    after = {Path(record.source).name: split for record, _, split in pieces(tmp_path / "dataset")}
    assert len(after) == 24
    for name, split in after.items():
        assert split == before[name.partition("-")[0] + "-0.mid"]


def all_labels(folder):
    opened = open_dataset(folder)
    return [labels for split in ("train", "valid", "test") for labels in opened.labels(split)]


def test_labels_are_known_and_change_without_encoding(library, tmp_path):
    index = tmp_path / "index.csv"
    rows = [
        f"{path.relative_to(library)},Bach,{'test' if number < 3 else ''}"
        for number, path in enumerate(sorted(library.rglob("*.mid")))
    ]
    index.write_text("\n".join(["path,composer,split", *rows]))
    profile = make_profile(f'prepare.metadata="{index}"', 'prepare.labels=["part-{part}/*"]')
    first = prepare([library], profile, tmp_path / "dataset", jobs=1)
    assert first.audit["labels"]["composer"] == {"Bach": 20}
    assert set(first.audit["labels"]["part"]) == {"0", "1", "2"}
    assert {str(path) for path in sorted(library.rglob("*.mid"))[:3]} <= {
        record.source for record in open_dataset(tmp_path / "dataset").records("test")
    }
    index.write_text(index.read_text().replace("Bach", "Telemann"))
    again = prepare([library], profile, tmp_path / "dataset", jobs=1)
    assert (again.new, again.unchanged) == (0, False)
    assert again.audit["labels"]["composer"] == {"Telemann": 20}
    known = [
        labels for split in ("train", "valid", "test") for labels in open_dataset(tmp_path / "dataset").labels(split)
    ]
    assert len(known) == 20
    assert all(labels["composer"] == "Telemann" for labels in known)
    before = contents(tmp_path / "dataset")
    (tmp_path / "dataset" / "index.sqlite").unlink()
    assert [*open_dataset(tmp_path / "dataset").labels("train")] == [
        *open_dataset(tmp_path / "dataset").labels("train")
    ]
    assert prepare([library], profile, tmp_path / "dataset", jobs=1).unchanged
    assert contents(tmp_path / "dataset") == before


def test_a_kit_without_parts_is_known_as_one_and_never_transposed(tmp_path):
    """The ids of a codec without parts do not tell a snare from a D."""
    kit = write_midi(Score(tracks=(Track(Notes([0, 480, 960], [240] * 3, [36, 38, 42], [90] * 3), is_drum=True),)))
    write_file(tmp_path / "kit.mid", kit)
    write_file(tmp_path / "tune.mid", smf([(0, 240, 36, 90), (480, 240, 38, 90), (960, 240, 42, 90)]))
    profile = make_profile("tokens.parts=false", 'prepare.split={kind="hash", valid=0, test=0}')
    prepare([tmp_path], profile, tmp_path / "dataset", jobs=1)
    up = Augmenter([{"kind": "transpose", "semitones": [2, 2]}], time_base="beats")
    dataset = TokenDataset(tmp_path / "dataset", "train", seq_len=64, augment=up)
    windows = dataset.windows.drawn(0, 0)
    played = {}
    for number in range(len(windows)):
        window = windows.at(number)
        ids = dataset[window].ids
        played[Path(dataset.pieces.record(window.piece).source).name] = ids[ids < NOTE_ON.stop].tolist()
    assert played == {"kit.mid": [36, 38, 42], "tune.mid": [38, 40, 44]}
