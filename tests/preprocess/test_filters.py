import pytest
from tests.support.scores import score, track

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Score, Tempos, TimeSignatures
from aurl.preprocess import PREPROCESS

FILTERS = ("density", "length", "pitch_range", "tracks")
# Four notes from beat 2 to beat 6 of 32 ticks: a note per beat, two per second at 120 BPM; it ends at 3 seconds.
PIECE = score(track(*((64 + 32 * i, 32, 58 + 2 * i, 70) for i in range(4))))


def fault(kind, piece=PIECE, **options):
    """What a filter says against a piece, "" where it passes unchanged."""
    step = PREPROCESS.build(kind, **options)
    try:
        assert step(piece) is piece
    except Rejected as error:
        assert error.reason is RejectReason.FILTERED  # noqa: PT017 - both outcomes are wanted
        return error.fault
    return ""


@pytest.mark.parametrize(
    ("kind", "value", "unit", "options"),
    [
        ("density", 1, "notes per beat", {}),
        ("density", 2, "notes per second", {"per": "second"}),
        ("length", 3, "seconds", {}),
        ("length", 6, "beats", {"unit": "beats"}),
        ("length", 2, "bars", {"unit": "bars"}),
        ("length", 4, "notes", {"unit": "notes"}),
        ("tracks", 1, "tracks with notes", {}),
    ],
)
def test_bounds_are_inclusive_and_the_fault_has_the_value(kind, value, unit, options):
    assert fault(kind, least=value, most=value, **options) == ""
    assert fault(kind, least=value + 1, **options) == f"{value} {unit}, fewer than {value + 1}"
    assert fault(kind, most=value - 1, **options) == f"{value} {unit}, more than {value - 1}"


def test_the_fault_is_short():
    sparse = score(track((0, 32, 60, 70), (32 * 9, 32, 60, 70)))
    assert fault("density", sparse, least=0.5) == "0.2 notes per beat, fewer than 0.5"


def test_seconds_follow_the_tempo_map():
    slow = Score(PIECE.ticks_per_beat, PIECE.tracks, tempos=Tempos([0, 128], [1_000_000, 2_000_000]))
    assert fault("length", slow, least=8, most=8) == ""
    assert fault("density", slow, per="second", least=4 / 6, most=4 / 6 + 1e-9) == ""


def test_bars_follow_the_meter():
    waltz = Score(PIECE.ticks_per_beat, PIECE.tracks, time_signatures=TimeSignatures([0], [3], [4]))
    assert fault("length", waltz, unit="bars", least=2, most=2) == ""
    short = Score(PIECE.ticks_per_beat, PIECE.tracks, time_signatures=TimeSignatures([0], [5], [4]))
    assert fault("length", short, unit="bars", least=2, most=2) == ""
    assert fault("length", score(track((0, 128, 60, 70))), unit="bars", least=1, most=1) == ""


def test_pieces_without_notes_or_length():
    empty = score(track())
    assert fault("density", empty, most=0) == ""
    assert fault("length", empty, unit="bars", most=0) == ""
    assert fault("density", score(track((5, 0, 60, 70))), most=1000) == "inf notes per beat, more than 1000"


def test_empty_tracks_do_not_count():
    assert fault("tracks", score(track(), track((0, 1, 60, 70)), track((0, 1, 36, 70), is_drum=True)), least=2) == ""
    assert fault("tracks", score(track(), track((0, 1, 60, 70))), least=2) == "1 tracks with notes, fewer than 2"


def test_pitches_outside_a_range():
    assert fault("pitch_range", lowest=58, highest=64) == ""
    assert fault("pitch_range", lowest=60) == "25.0% of the notes outside 60–127, more than 0.0%"
    assert fault("pitch_range", highest=61) == "50.0% of the notes outside 0–61, more than 0.0%"
    assert fault("pitch_range", highest=61, tolerance=0.5) == ""
    assert fault("pitch_range", score(track((0, 1, 20, 70), is_drum=True)), lowest=60) == ""


def test_filters_select_and_other_steps_change():
    selecting = {kind for kind in PREPROCESS.kinds() if PREPROCESS.build(kind).selects}
    assert selecting == {*FILTERS, "segment"}
