import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import notes, score

from aurl.midi.score import Controls, Track
from aurl.preprocess import PREPROCESS

SUSTAIN, SOSTENUTO, SOFT, VOLUME = 64, 66, 67, 7


def pedalled(rows, controls, **options):
    one = Track(notes(*rows), controls=Controls(*zip(*controls, strict=True)) if controls else Controls())
    return PREPROCESS.build("pedal", **options)(score(one)).tracks[0]


def lengths(one):
    return list(zip(one.notes.onset.tolist(), one.notes.pitch.tolist(), one.notes.duration.tolist(), strict=True))


def test_a_released_note_lasts_until_the_pedal_goes_up():
    one = pedalled([(0, 10, 60, 70), (5, 10, 64, 70)], [(8, SUSTAIN, 127), (50, SUSTAIN, 0)])
    assert lengths(one) == [(0, 60, 50), (5, 64, 45)]
    assert len(one.controls) == 0


def test_the_same_key_ends_it():
    one = pedalled([(0, 10, 60, 70), (30, 5, 60, 70), (30, 5, 64, 70)], [(0, SUSTAIN, 64), (50, SUSTAIN, 63)])
    assert lengths(one) == [(0, 60, 30), (30, 60, 20), (30, 64, 20)]


def test_keys_released_outside_the_pedal_are_not_changed():
    rows = [(0, 10, 60, 70), (20, 40, 61, 70), (70, 10, 62, 70)]
    one = pedalled(rows, [(15, SUSTAIN, 127), (60, SUSTAIN, 0)])
    assert lengths(one) == [(0, 60, 10), (20, 61, 40), (70, 62, 10)]


def test_a_key_released_as_the_pedal_goes_down_is_held():
    assert lengths(pedalled([(0, 10, 60, 70)], [(10, SUSTAIN, 127), (30, SUSTAIN, 0)])) == [(0, 60, 30)]


def test_a_pedal_that_never_goes_up_does_so_at_the_end():
    one = pedalled([(0, 10, 60, 70), (20, 80, 61, 70)], [(0, SUSTAIN, 127)])
    assert lengths(one) == [(0, 60, 100), (20, 61, 80)]


def test_many_values_are_one_press():
    controls = [(0, SUSTAIN, 70), (5, SUSTAIN, 127), (20, SUSTAIN, 64), (40, SUSTAIN, 10), (60, SUSTAIN, 0)]
    assert lengths(pedalled([(0, 10, 60, 70), (45, 5, 62, 70)], controls)) == [(0, 60, 40), (45, 62, 5)]


def test_sostenuto_holds_only_the_keys_that_are_down():
    rows = [(0, 10, 60, 70), (0, 30, 64, 70), (25, 10, 67, 70)]
    one = pedalled(rows, [(20, SOSTENUTO, 127), (80, SOSTENUTO, 0), (90, VOLUME, 3)])
    assert lengths(one) == [(0, 60, 10), (0, 64, 80), (25, 67, 10)]
    assert one.controls == Controls([90], [VOLUME], [3])


def test_what_sostenuto_lets_go_the_sustain_pedal_may_hold():
    controls = [(20, SOSTENUTO, 127), (60, SUSTAIN, 127), (80, SOSTENUTO, 0), (100, SUSTAIN, 0)]
    assert lengths(pedalled([(0, 30, 64, 70)], controls)) == [(0, 64, 100)]


def test_ignored_pedals_are_only_removed():
    controls = [(0, SUSTAIN, 127), (1, SOSTENUTO, 127), (2, SOFT, 127), (3, VOLUME, 100)]
    one = pedalled([(0, 10, 60, 70)], controls, mode="ignore")
    assert lengths(one) == [(0, 60, 10)]
    assert one.controls == Controls([3], [VOLUME], [100])
    assert pedalled([(0, 10, 60, 70)], controls).controls.number.tolist() == [SOFT, VOLUME]


def test_the_pedal_is_that_of_the_track():
    first = Track(notes((0, 10, 60, 70)), controls=Controls([0], [SUSTAIN], [127]))
    second = Track(notes((0, 10, 60, 70), (50, 10, 60, 70)))
    after = PREPROCESS.build("pedal")(score(first, second))
    assert lengths(after.tracks[0]) == [(0, 60, 60)]
    assert after.tracks[1] == second


_ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(60, 62), st.just(70)),
    min_size=1, max_size=8, unique_by=lambda row: (row[0], row[2]),
)  # fmt: skip


@given(_ROWS, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 127)), max_size=8, unique_by=lambda row: row[0]))
@settings(max_examples=200, deadline=None)
def test_tick_by_tick_it_is_the_same(rows, turns):
    turns = sorted(turns)
    end = max(*(onset + duration for onset, duration, *_ in rows), *(at for at, _ in turns), 0)

    def is_down(tick):
        return ([0] + [value for at, value in turns if at <= tick])[-1] >= 64

    expected = []
    for onset, duration, pitch, _ in sorted(rows, key=lambda row: (row[0], row[2])):
        struck = min([other for other, _, same, _ in rows if same == pitch and other > onset], default=end + 1)
        stop = onset + duration
        while stop < min(end, struck) and is_down(stop):
            stop += 1
        expected.append((onset, pitch, stop - onset))
    assert lengths(pedalled(rows, [(at, SUSTAIN, value) for at, value in turns])) == expected


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="known"):
        PREPROCESS.build("pedal", mode="half")
