"""From a score to its file, into a data set and back: every room once, against the codec written note by note."""

import dataclasses
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import reference_codec
from tests.support.datasets import make_profile
from tests.support.midi_files import write_file
from tests.support.scores import scores

from aurl.data.dataset import PieceReader
from aurl.data.encode import ShardTask, Wanted, encode_shard
from aurl.data.prepare import prepare, recipe_of
from aurl.data.shards import Shard
from aurl.midi.repair import repair
from aurl.midi.score import Notes, Score, Track
from aurl.midi.write import write_midi
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.maps import Maps

TICKS_PER_STEP = 15
"""Of scores that are decoded without maps: 480 ticks a beat, 32 steps a beat."""


def whole(piece: Score) -> Score:
    """As it is read from its file: mended, and without empty tracks."""
    mended, _ = repair(piece)
    return dataclasses.replace(mended, tracks=tuple(track for track in mended.tracks if len(track.notes)))


PIECES = scores(max_notes=30).map(whole).filter(lambda piece: piece.note_count)
SETTINGS = st.tuples(st.sampled_from(["beats", "seconds"]), st.booleans(), st.sampled_from([("tempo", "key"), ()]))


def in_steps(score: Score, parts: bool):
    """(part, pitch, onset, offset, level) of each note of a score of 480 ticks a beat."""
    return sorted(
        (number if parts else 0, pitch, onset / TICKS_PER_STEP, offset / TICKS_PER_STEP, level)
        for number, track in enumerate(score.tracks)
        for onset, offset, pitch, level in zip(
            track.notes.onset.tolist(),
            track.notes.offset.tolist(),
            track.notes.pitch.tolist(),
            [reference_codec.level_of(velocity) for velocity in track.notes.velocity.tolist()],
            strict=True,
        )
    )


def assert_holds(piece: Score, ids, record, codec: Codec) -> None:
    """What is stored is the piece."""
    expected = reference_codec.encode(piece, time_base=codec.time_base, parts=codec.parts, header=codec.header)
    assert ids.tolist() == expected
    assert Grammar.of(codec).check(ids) == []
    notes = reference_codec.decode(expected)
    assert record.notes == len(notes)
    back = codec.decode(ids, Maps.from_json(record.maps))
    assert Maps.of(back) == Maps.of(piece)
    assert back.note_count == len(notes)
    if codec.time_base == "beats":
        # A note that ends where it began lasts one tick.
        shown = [(*lane, on, max(off, on + 1 / TICKS_PER_STEP), level) for *lane, on, off, level in notes]
        assert in_steps(codec.decode(ids), codec.parts) == sorted(shown)


@given(PIECES, SETTINGS)
@settings(max_examples=40, deadline=None)
def test_a_shard_holds_the_notes_of_the_score_that_was_written(piece, settings):
    base, parts, header = settings
    codec = Codec(time_base=base, parts=parts, header=header)
    profile = make_profile(
        f'tokens.time_base="{base}"', f"tokens.parts={str(parts).lower()}", f"tokens.header={list(header)}"
    )
    data = write_midi(piece)
    with tempfile.TemporaryDirectory() as folder:
        path = write_file(Path(folder, "a.mid"), data)
        wanted = Wanted(str(path), hashlib.sha256(data).hexdigest(), len(data))
        task = ShardTask("a", (wanted,), recipe_of(profile), folder)
        assert encode_shard(task, {}, lambda index: None).transient == ()
        shard = Shard(Path(folder, "a.safetensors"))
        shard.verify()
        assert (len(shard), shard.record_count) == (1, 1)
        assert_holds(piece, shard.piece(0), shard.record(0), codec)


@given(st.lists(PIECES, min_size=20, max_size=20))
@settings(max_examples=1, deadline=None)
def test_a_data_set_holds_the_notes_of_all_its_scores(pieces):
    files = {write_midi(piece): piece for piece in pieces}
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(files):
            write_file(Path(folder, f"{number}.mid"), data)
        profile = make_profile('prepare.split={kind="hash", valid=0, test=0}', "prepare.shard_tokens=1000")
        result = prepare([folder], profile, Path(folder, "dataset"), jobs=1)
        assert (result.files, result.prepared, result.duplicates) == (len(files), len(files), 0)
        reader = PieceReader(result.folder, "train")
        found = {reader.record(number).source: number for number in range(len(reader))}
        for name, piece in enumerate(files.values()):
            number = found[str(Path(folder, f"{name}.mid"))]
            assert_holds(piece, reader.piece(number), reader.record(number), Codec())


def test_what_is_compared_can_differ():
    """A note one step longer, and one of the next level, are no longer the piece."""
    codec = Codec(header=())
    piece = whole(Score(480, (_track(480, 70),)))
    encoded = codec.encode(piece)
    record = type("Record", (), {"notes": 1, "maps": encoded.maps.to_json()})
    assert_holds(piece, encoded.ids, record, codec)
    for other in (_track(495, 70), _track(480, 100)):
        with pytest.raises(AssertionError):
            assert_holds(whole(Score(480, (other,))), encoded.ids, record, codec)


def _track(duration, velocity):
    return Track(notes=Notes(np.array([0]), np.array([duration]), np.array([60]), np.array([velocity])))
