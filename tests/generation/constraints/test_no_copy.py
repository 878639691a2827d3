"""Passages of known music, found by sets of tuples instead of hashes."""

from itertools import pairwise

import numpy as np
import pytest
from tests.support.scores import score, track
from tests.support.training import melody, write_dataset
from tests.support.tunes import tune

from aurl.data.pieces import PieceReader
from aurl.errors import NotFoundError, UsageError
from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.constraints.lines import MAX_DISTANCE, Passages, moves_of
from aurl.generation.constraints.no_copy import NoCopy
from aurl.generation.constraints.row import FORBIDDEN, Row
from aurl.midi.notation import read_any
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.vocabulary import DRUM_PROGRAM

CODEC = Codec()
LANES = np.zeros((32, 256), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AURL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def lines(ids):
    """(step, pitch) of the highest note of each onset, part by part, without drums."""
    notes, found = read_notes(ids), {}
    for part, step, pitch in zip(notes.part.tolist(), notes.onset.tolist(), notes.pitch.tolist(), strict=True):
        if notes.programs[part] != DRUM_PROGRAM:
            tops = found.setdefault(part, {})
            tops[step] = max(pitch, tops.get(step, 0))
    return [sorted(tops.items()) for _, tops in sorted(found.items())]


def moves(line):
    return [(b - a, y - x) for (a, x), (b, y) in pairwise(line)]


def grams(line, length):
    return {tuple(moves(line[start : start + length])) for start in range(len(line) - length + 1)}


@pytest.mark.parametrize("length", [2, 3, 5, 12])
def test_passages_are_those_of_the_highest_notes_of_each_part(length):
    pieces = [CODEC.encode(tune(seed)).ids for seed in range(3)]
    expected = set().union(*(grams(line, length) for ids in pieces for line in lines(ids)))
    passages = Passages.of((line for ids in pieces for line in moves_of(ids)), length)
    assert len(passages) == len(expected) > 10
    known = [line[start : start + length - 1] for ids in pieces for line in lines(ids) for start in range(len(line))]
    for before in [one for one in known if len(one) == length - 1]:
        follows = {gram[-1] for gram in expected if gram[:-1] == tuple(moves(before))}
        assert set(passages.completions(before)) == follows
    strange = [(step, pitch - step % 3) for step, pitch in lines(CODEC.encode(tune(9)).ids)[0][: length - 1]]
    assert length < 5 or passages.completions(strange) == []


def test_nothing_completes_what_is_too_short_or_unknown():
    none = Passages.of([], 3)
    assert len(none) == 0
    assert none.completions([(0, 60), (8, 62)]) == []
    some = Passages.of(moves_of(CODEC.encode(tune(0)).ids), 3)
    assert some.completions([(0, 60)]) == []
    far = Passages.of(moves_of(CODEC.encode(score(track((0, 9, 60, 80), (2 * MAX_DISTANCE // 9, 9, 62, 80)))).ids), 2)
    assert len(far) == 1


def known(*passages):
    """A constraint against passages of three onsets, spelt (step, pitch)."""
    pieces = [score(track(*((step, 4, pitch, 80) for step, pitch in passage))) for passage in passages]
    found = Passages.of((line for piece in pieces for line in moves_of(CODEC.encode(piece).ids)), 3)
    return NoCopy(found, "beats")


def forbidden(constraint, step, tops, part=0):
    row, bias = Row(lanes=LANES, stage=0, part=part, step=step, tops={0: tops}), np.zeros(1000, np.float32)
    constraint.restrict(row, bias)
    assert (bias[128:] == 0).all()
    return np.flatnonzero(bias[:128] == FORBIDDEN).tolist()


def test_the_note_that_would_complete_a_passage_is_forbidden_in_any_key():
    constraint = known([(0, 60), (8, 62), (24, 67)], [(0, 50), (8, 52), (24, 49)], [(0, 60), (8, 62), (16, 65)])
    assert forbidden(constraint, 40, [(0, 1), (16, 70), (24, 72)]) == [69, 77]
    assert forbidden(constraint, 32, [(16, 70), (24, 72)]) == [75]
    assert forbidden(constraint, 33, [(16, 70), (24, 72)]) == []
    assert forbidden(constraint, 40, [(16, 70), (24, 73)]) == []
    assert forbidden(constraint, 40, [(24, 72)]) == []
    assert forbidden(constraint, 40, [(16, 122), (24, 124)]) == [121]
    assert forbidden(constraint, 40, [(16, 70), (24, 72)], part=1) == []


def test_only_what_becomes_the_highest_note_of_its_onset_counts():
    constraint = known([(0, 60), (8, 62), (16, 65)], [(0, 60), (8, 62), (16, 59)])
    assert forbidden(constraint, 16, [(0, 60), (8, 62)]) == [59, 65]
    assert forbidden(constraint, 16, [(0, 60), (8, 62), (16, 61)]) == [65]
    assert forbidden(constraint, 16, [(0, 60), (8, 62), (16, 70)]) == []


def test_copies_are_told_and_stay():
    constraint = known([(0, 60), (8, 62), (16, 65)])
    copy = score(
        track((0, 4, 48, 80), (10, 4, 71, 80), (18, 4, 40, 80), (18, 4, 73, 80), (26, 4, 76, 80)),
        track((0, 4, 60, 80), (8, 4, 62, 80), (16, 4, 65, 80), is_drum=True),
    )
    assert constraint.broken(copy) == ["the 3 notes up to beat 0.8125 are known"]
    assert constraint.mend(copy) is copy


def test_the_training_pieces_of_a_data_set_are_known(tmp_path, cache):
    dataset = write_dataset(tmp_path, pieces=8, valid=2)
    constraint = CONSTRAINTS.build("no_copy", CODEC, data=str(dataset), notes=6)
    for split, is_known in (("train", True), ("valid", False)):
        reader = PieceReader(dataset, split)
        scores = [CODEC.decode(reader.piece(number)) for number in range(len(reader))]
        assert [len(constraint.broken(piece)) > 10 for piece in scores] == [is_known] * len(scores)
    assert len(list(cache.rglob("*.npz"))) == 1


def test_passages_come_from_the_cache_until_the_music_changes(tmp_path, cache, caplog):
    caplog.set_level("INFO")
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.mid").write_bytes(melody(number))
    (folder / "broken.mid").write_bytes(b"MThd")

    def broken(number, data=folder):
        constraint = CONSTRAINTS.build("no_copy", CODEC, data=str(data), notes=6)
        return bool(constraint.broken(read_any(melody(number), name="melody.mid").score))

    assert [broken(number) for number in range(3)] == [True, True, False]
    assert caplog.text.count("passages of 6 notes") == 1
    assert "broken.mid is left out" in caplog.text
    (folder / "2.mid").write_bytes(melody(2))
    assert broken(2)
    assert broken(0, folder / "0.mid")
    assert not broken(1, folder / "0.mid")
    saved = list(cache.rglob("*.npz"))
    assert len(saved) == 3
    for file in saved:
        file.write_bytes(file.read_bytes()[:-30])
    assert broken(1)


def test_a_cache_that_cannot_be_written_to_is_told_of(tmp_path, cache, caplog):
    cache.parent.joinpath("cache").write_text("a file")
    (tmp_path / "song.mid").write_bytes(melody(0))
    CONSTRAINTS.build("no_copy", CODEC, data=str(tmp_path / "song.mid"))
    assert "are not kept" in caplog.text


def test_without_music_to_compare_with_it_is_refused(tmp_path):
    with pytest.raises(UsageError, match="what must not be copied"):
        CONSTRAINTS.build("no_copy", CODEC)
    with pytest.raises(NotFoundError):
        CONSTRAINTS.build("no_copy", CODEC, data=str(tmp_path / "nowhere"))
    dataset = write_dataset(tmp_path, pieces=6, valid=2)
    with pytest.raises(UsageError, match="counts in seconds"):
        CONSTRAINTS.build("no_copy", Codec(time_base="seconds"), data=str(dataset))
