"""Scores for tests: arbitrary ones (hypothesis) and short ways to write one down."""

from collections.abc import Sequence

from hypothesis import strategies as st

from aurl.midi.score import KeySignatures, Notes, Score, Tempos, TimeSignatures, Track


def notes(*rows: Sequence[int]) -> Notes:
    """Notes from (onset, duration, pitch, velocity) rows."""
    return Notes(*zip(*rows, strict=True)).ordered() if rows else Notes()


def track(*rows: Sequence[int], program: int = 0, is_drum: bool = False) -> Track:
    return Track(notes=notes(*rows), program=program, is_drum=is_drum)


def score(*tracks: Track, ticks_per_beat: int = 32, **maps) -> Score:
    """A score whose default ticks are steps of time base "beats"."""
    return Score(ticks_per_beat=ticks_per_beat, tracks=tracks, **maps)


def _sorted_map(kind, ticks, *values):
    entries = st.lists(st.tuples(ticks, *values), max_size=4).map(lambda rows: sorted(rows, key=lambda row: row[0]))
    return entries.map(lambda rows: kind(*zip(*rows, strict=True)) if rows else kind())


# Few pitches and a short time make collisions likely; now and then a long pause.
_ONSETS = st.integers(0, 60) | st.integers(0, 5000) | st.integers(0, 20_000)
_ROWS = st.tuples(_ONSETS, st.integers(0, 40) | st.integers(0, 6000), st.integers(58, 62), st.integers(1, 127))


@st.composite
def scores(draw, *, max_tracks: int = 4, max_notes: int = 12) -> Score:
    ticks = st.integers(0, 6000)
    tracks = st.builds(
        lambda rows, program, is_drum: track(*rows, program=0 if is_drum else program, is_drum=is_drum),
        st.lists(_ROWS, max_size=max_notes),
        st.integers(0, 127),
        st.sampled_from([False, False, False, True]),
    )
    return Score(
        ticks_per_beat=draw(st.sampled_from([1, 24, 32, 96, 120, 220, 480, 1024, 10080])),
        tracks=tuple(draw(st.lists(tracks, max_size=max_tracks))),
        tempos=draw(_sorted_map(Tempos, ticks, st.integers(150_000, 2_500_000))),
        time_signatures=draw(
            _sorted_map(TimeSignatures, ticks, st.integers(1, 20), st.sampled_from([1, 2, 4, 8, 16, 32]))
        ),
        key_signatures=draw(_sorted_map(KeySignatures, ticks, st.integers(-7, 7), st.booleans())),
    )
