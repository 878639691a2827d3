"""What becomes of each file of a task, without worker processes."""

import hashlib
from dataclasses import replace

import pytest
from tests.support.datasets import make_profile
from tests.support.midi_files import smf, write_file
from tests.support.shards import wanted_tune

from aurl.data.encode import ShardTask, encode_shard
from aurl.data.prepare import recipe_of
from aurl.data.shards import Shard
from aurl.data.workers.worker import NO_FILE, Fault
from aurl.midi.reasons import RejectReason


@pytest.fixture
def encode(tmp_path):
    """Files, preprocessing, faults → (what was written, pieces, rejected, what was marked)."""

    def encode(files, *overrides, faults=None):
        recipe, marks = recipe_of(make_profile(*overrides)), []
        written = encode_shard(ShardTask("a", tuple(files), recipe, str(tmp_path)), faults or {}, marks.append)
        shard = Shard(tmp_path / "a.safetensors")
        records = list(shard.records())
        return written, records[: len(shard)], records[len(shard) :], marks

    return encode


@pytest.fixture
def tunes(tmp_path):
    return [wanted_tune(tmp_path / "midi", seed) for seed in range(4)]


def test_files_are_marked_one_by_one_and_those_at_fault_are_not_opened(encode, tunes):
    fault = Fault(RejectReason.TIMEOUT, "took too long")
    written, pieces, (rejected,), marks = encode(tunes, faults={1: fault})
    assert marks == [0, 2, 3, NO_FILE]
    assert [piece.source for piece in pieces] == [tune.path for tune in (tunes[0], tunes[2], tunes[3])]
    assert (rejected.source, rejected.reason, rejected.fault) == (tunes[1].path, "timeout", "took too long")
    assert (written.transient, written.copied) == ((), 0)


def test_what_cannot_be_read_this_time_is_in_no_shard(encode, tunes):
    """Nothing is remembered of it: another run looks again."""
    changed, gone = tunes[0]._replace(sha256="00" * 32), tunes[1]._replace(path=f"{tunes[1].path}.gone")
    written, pieces, rejected, _ = encode([changed, gone, *tunes[2:]])
    assert len(pieces) == 2
    assert rejected == []
    assert [(one.source, one.reason) for one in written.transient] == [
        (changed.path, "unreadable"),
        (gone.path, "unreadable"),
    ]
    assert "changed" in written.transient[0].fault


def test_a_filter_rejects_whole_pieces_by_name(encode, tunes):
    counts = [piece.notes for piece in encode(tunes)[1]]
    assert len(set(counts)) == 4
    _, pieces, rejected, _ = encode(tunes, f'prepare.preprocess=[{{kind="length", unit="notes", least={max(counts)}}}]')
    assert [piece.notes for piece in pieces] == [max(counts)]
    assert [record.reason for record in rejected] == ["filtered"] * 3


SEGMENT = 'prepare.preprocess=[{kind="segment", bars=1, min_bars=1}%s]'


def test_segments_that_a_filter_or_their_size_leaves_out_are_counted(encode, tmp_path):
    """Bars of 1, 5, 1 and 3 notes."""
    onsets = [0, *range(1920, 1920 + 5 * 96, 96), 3840, 5760, 6000, 6240]
    content = smf([(onset, 48, 60, 64) for onset in onsets])
    path = write_file(tmp_path / "bars.mid", content)
    wanted = replace_content(wanted_tune(tmp_path, 0), path, content)
    _, pieces, _, _ = encode([wanted], SEGMENT % "")
    assert [piece.notes for piece in pieces] == [1, 5, 1, 3]
    assert [piece.segment for piece in pieces] == [0, 1, 2, 3]
    _, pieces, _, _ = encode([wanted], SEGMENT % "", "prepare.min_notes=2")
    assert [piece.notes for piece in pieces] == [5, 3]
    assert pieces[0].repairs["short_segments"] == 2
    _, pieces, _, _ = encode([wanted], SEGMENT % ', {kind="length", unit="notes", least=4}')
    assert [piece.notes for piece in pieces] == [5]
    assert pieces[0].repairs["filtered_segments"] == 3
    _, pieces, (rejected,), _ = encode([wanted], SEGMENT % "", "prepare.min_notes=6")
    assert (pieces, rejected.reason) == ([], "filtered")


def replace_content(wanted, path, content):
    return wanted._replace(path=str(path), sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def test_a_file_with_too_few_notes(encode, tunes):
    _, pieces, rejected, _ = encode(tunes, "prepare.min_notes=100000")
    assert pieces == []
    assert {(record.reason, record.fault.split(",")[1]) for record in rejected} == {("no_notes", " fewer than 100000")}


def test_recipes_differ_where_ids_do():
    recipe = recipe_of(make_profile())
    others = [replace(recipe, codec="{}"), replace(recipe, preprocess="[1]"), replace(recipe, min_notes=2)]
    assert len({one.signature for one in (recipe, *others)}) == 4
    assert replace(recipe, max_bytes=1).signature == recipe.signature
