from aurl.latent.factors import FACTORS
from aurl.latent.report_moves import Move, moves_table, remarks_on_interpolation, remarks_on_traversal
from aurl.latent.smoothness import smoothness


def way(**columns):
    steps = len(next(iter(columns.values())))
    rows = tuple({name: columns.get(name, [float("nan")] * steps)[at] for name in FACTORS} for at in range(steps))
    units = dict.fromkeys(columns, 1.0)
    return Move("local 3", tuple(float(at) for at in range(steps)), rows, smoothness(rows, units))


def test_what_follows_a_direction_is_named():
    [told] = remarks_on_traversal([way(density=[1.0, 2.0, 4.0], register=[60.0, 60.6, 61.0], dynamics=[9.0, 5.0, 9.0])])
    assert told == "local 3: density goes from 1 to 4 (+3.0 deviations); with it register"
    [nothing] = remarks_on_traversal([way(density=[1.0, 1.1, 1.0])])
    assert "nothing that is measured follows it" in nothing


def test_ways_are_told_by_what_changes_evenly():
    even, uneven, long = remarks_on_interpolation(way(density=[1.0, 2.0, 3.0], register=[0.0, 9.0, 1.0]))
    assert "1 of 2 attributes that differ change evenly on the way: density" in even
    assert "register go back and forth" in uneven
    assert "times as long" in long
    assert "alike" in remarks_on_interpolation(way(density=[1.0, 1.0]))[0]


def test_table_has_a_row_for_each_piece_and_nothing_for_nan():
    found = moves_table([way(density=[1.0, 2.0])], step="place")
    assert found["head"] == ["", "place", *FACTORS]
    assert found["rows"] == [["local 3", at, 1.0 + at, *[None] * (len(FACTORS) - 1)] for at in (0.0, 1.0)]
