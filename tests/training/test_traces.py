import json

import numpy as np
import pytest

from aurl.training.traces import POINTS, Trace, Traces, is_number


def trace_of(values):
    trace = Trace()
    for x, y in enumerate(values):
        trace.add(x, y)
    return trace.points


def test_few_values_are_kept_as_they_are():
    values = np.random.default_rng(0).normal(size=2 * POINTS).tolist()
    assert [(point.x, point.y, point.low, point.high) for point in trace_of(values)] == [
        (x, y, y, y) for x, y in enumerate(values)
    ]


@pytest.mark.parametrize("count", [2 * POINTS + 1, 1000, 4096, 5000])
def test_of_many_values_neighbours_are_one_point(count):
    """Against the same done in one go: blocks of equal length, the last of which may be shorter."""
    values = np.random.default_rng(count).normal(size=count)
    points = trace_of(values.tolist())
    assert POINTS < len(points) <= 2 * POINTS
    length = 1
    while -(-count // length) > 2 * POINTS:
        length *= 2
    blocks = [values[begin : begin + length] for begin in range(0, count, length)]
    assert [point.x for point in points] == [min(count, (n + 1) * length) - 1 for n in range(len(blocks))]
    assert [point.y for point in points] == pytest.approx([block.mean() for block in blocks])
    assert [point.low for point in points] == [block.min() for block in blocks]
    assert [point.high for point in points] == [block.max() for block in blocks]


def test_what_is_no_finite_number_is_left_out():
    records = [{"step": 1, "a": 1, "b": None, "c": True}, {"step": 2, "a": float("nan"), "b": "x", "d": [1]}]
    traces = Traces.of(records)
    assert traces.names == ["a"]
    assert traces.newest == {"a": (1, 1)}
    assert traces.points("b") == []
    assert [is_number(value) for value in (1, 0.5, True, None, "1", float("inf"))] == [True, True] + [False] * 4


def test_validations_stand_where_the_record_before_them_does():
    records = [{"step": 1, "tokens": 100, "a": 1.0}, {"step": 2, "tokens": 300, "a": 2.0}, {"step": 2, "valid/a": 3.0}]
    traces = Traces.of(records, by="tokens")
    assert [(point.x, point.y) for point in traces.points("a")] == [(100, 1.0), (300, 2.0)]
    assert [(point.x, point.y) for point in traces.points("valid/a")] == [(300, 3.0)]
    assert traces.span == (100, 300)
    assert Traces.of(records).span == (1, 2)
    assert traces.newest["valid/a"] == (2, 3.0)


def test_half_a_line_at_the_end_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "a": 1.0}) + '\n{"step": 2, "a": 2.')
    assert [point.y for point in Traces.read(path).points("a")] == [1.0]
    assert Traces.read(tmp_path / "nothing").names == []
    assert Traces.read(tmp_path / "nothing").span == (0.0, 0.0)
