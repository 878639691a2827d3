"""What every registered kind must keep, with its defaults and with each of its modes."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from tests.support.preprocessing import MODES, STEPS
from tests.support.scores import notes, score, scores, track

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.repair import repair_notes
from aurl.midi.score import Controls, Score, Tempos, Text, TimeSignatures, Track
from aurl.preprocess import PREPROCESS

REPEATABLE = {"density", "instruments", "length", "pedal", "pitch_range", "polyphony", "tracks"}
EDGES = {
    "no tracks": Score(),
    "an empty track": score(track(), track((0, 10, 60, 70))),
    "controls without notes": score(Track(controls=Controls([3, 5], [64, 64], [127, 0]))),
    "one tick a beat": score(track((0, 1, 60, 70), (7, 2, 60, 70)), ticks_per_beat=1),
    "the finest ticks": score(track((5, 9, 60, 70), (32_767 * 40, 32_767, 64, 3)), ticks_per_beat=32_767),
    "the last tick": score(track((0, 10, 60, 70), (2**31 - 2, 1, 61, 1)), ticks_per_beat=480),
    "the last of long ticks": score(track((0, 10, 60, 70), (2**31 - 2, 1, 61, 1)), ticks_per_beat=1),
    "a note without end": score(track((0, 2**31, 60, 70), (10, 5, 61, 90)), ticks_per_beat=96),
    "notes without length": score(track((0, 0, 60, 70), (0, 0, 61, 90), (960, 0, 61, 90)), ticks_per_beat=96),
    "a meter of single ticks": score(
        track((0, 10, 60, 70), (90_000, 10, 61, 1)), ticks_per_beat=1, time_signatures=TimeSignatures([0], [1], [64])
    ),
}


def applied(step, piece):
    """All scores that a step makes of a piece, and its repairs; None where it does not take it."""
    try:
        done = step.counted(piece)
    except Rejected as error:
        return None if error.reason is RejectReason.FILTERED else pytest.fail(str(error))
    return (done.score, *done.rest), done.repairs


def has_overlaps(table):
    order = np.lexsort((table.onset, table.pitch))
    same = np.diff(table.pitch[order]) == 0
    return bool((same & (table.offset[order][:-1] > table.onset[order][1:])).any())


def assert_valid(result, piece):
    pieces, repairs = result
    assert sum(one.note_count for one in pieces) <= piece.note_count
    assert all(count > 0 for count in repairs.values())
    for one in pieces:
        assert 1 <= one.ticks_per_beat < 2**15
        for columns in (one.tempos, one.time_signatures, one.key_signatures, *(t.controls for t in one.tracks)):
            assert (np.diff(columns.tick) >= 0).all()
            assert (columns.tick >= 0).all()
        for each in one.tracks:
            rows = list(zip(each.notes.onset.tolist(), each.notes.pitch.tolist(), strict=True))
            assert rows == sorted(rows)
            assert (each.notes.onset >= 0).all()
            assert ((each.notes.velocity >= 1) & (each.notes.velocity <= 127)).all()


def test_every_kind_is_tried():
    assert set(MODES) == set(PREPROCESS.kinds())


@pytest.mark.parametrize(("kind", "options"), STEPS)
@given(piece=scores())
@settings(max_examples=6, deadline=None)
def test_scores_stay_valid_and_the_given_one_stays_as_it_is(kind, options, piece):
    step = pickle.loads(pickle.dumps(PREPROCESS.build(kind, **options)))
    before = copy.deepcopy(piece)
    result = applied(step, piece)
    assert piece == before
    assert applied(step, piece) == result
    if result is not None:
        assert_valid(result, piece)


@pytest.mark.parametrize(("kind", "options"), STEPS)
@given(piece=scores().map(lambda piece: repair_notes(piece)[0]))
@settings(max_examples=6, deadline=None)
def test_what_was_mended_stays_mended(kind, options, piece):
    step = PREPROCESS.build(kind, **options)
    result = applied(step, piece)
    if result is None:
        return
    for one in result[0]:
        for each in one.tracks:
            assert (each.notes.duration >= 1).all()
            assert not has_overlaps(each.notes)
    if kind in REPEATABLE or (kind == "quantize" and options.keys() <= {"grid"}):
        assert step.counted(result[0][0]).score == result[0][0]


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize(("kind", "options"), STEPS)
def test_extreme_scores_are_survived(kind, options, name):
    result = applied(PREPROCESS.build(kind, **options), EDGES[name])
    if result is not None:
        assert_valid(result, EDGES[name])


@pytest.mark.parametrize("kind", sorted(set(MODES) - {"key", "pedal", "segment"}))
def test_what_is_not_notes_is_kept(kind):
    piece = Score(
        480,
        (Track(notes((0, 480, 60, 70)), 5, name="a", controls=Controls([9], [7], [3]), lyrics=(Text(3, "la"),)),),
        tempos=Tempos([0], [400_000]),
        time_signatures=TimeSignatures([0], [3], [4]),
        markers=(Text(1, "A"),),
    )
    after = PREPROCESS.build(kind)(piece)
    assert after == Score(
        480,
        (Track(after.tracks[0].notes, 5, name="a", controls=Controls([9], [7], [3]), lyrics=(Text(3, "la"),)),),
        tempos=piece.tempos,
        time_signatures=piece.time_signatures,
        markers=piece.markers,
    )
