import gzip
import json
import logging
import re

import pytest

from aurl.training import log
from aurl.training.log import MetricsFile, logging_to, read_metrics, read_newest, truncate_metrics

LINE = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[(\w+)\] \[([\w.]+)\] (.*)$")


def test_lines_have_the_documented_form(tmp_path):
    with logging_to(tmp_path / "train.log"):
        logging.getLogger("aurl.training.loop").info("step %d", 3)
        logging.getLogger("aurl.data").warning("odd")
    lines = (tmp_path / "train.log").read_text().splitlines()
    found = [LINE.match(line) for line in lines]
    assert [match.groups() if match else None for match in found] == [
        ("INFO", "training.loop", "step 3"),
        ("WARNING", "data", "odd"),
    ]


def test_logging_leaves_no_trace(tmp_path):
    logger = logging.getLogger("aurl")
    before = (logger.level, list(logger.handlers))
    with logging_to(tmp_path / "train.log"):
        assert len(logger.handlers) == len(before[1]) + 1
    assert (logger.level, list(logger.handlers)) == before


def test_full_logs_are_compressed_and_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 2000)
    monkeypatch.setattr(log, "KEPT_LOGS", 2)
    with logging_to(tmp_path / "train.log"):
        for number in range(200):
            logging.getLogger("aurl.x").info("line %03d %s", number, "x" * 50)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.log", "train.log.1.gz", "train.log.2.gz"]
    packed = gzip.decompress((tmp_path / "train.log.1.gz").read_bytes()).decode().splitlines()
    numbers = [int(line.split()[5]) for line in packed]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first = (tmp_path / "train.log").read_text().splitlines()[0]
    assert int(first.split()[5]) == numbers[-1] + 1


def test_metrics_come_back_and_what_is_not_a_number_is_null(tmp_path):
    with MetricsFile(tmp_path / "metrics.jsonl") as metrics:
        metrics.write(10, {"train/loss": 0.1 + 0.2, "epoch": 1})
        metrics.write(20, {"train/loss": float("nan"), "lr": float("inf")})
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 10, "train/loss": 0.1 + 0.2, "epoch": 1},
        {"step": 20, "train/loss": None, "lr": None},
    ]


@pytest.mark.parametrize("tail", ["", '{"step": 5', "\x00\x00\x00", '{"step": "x"}\n', "[1]\n"])
def test_truncation_drops_later_records_and_torn_lines(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, "v": step / 3}) + "\n" for step in (1, 2, 2, 3, 4)) + tail)
    assert truncate_metrics(path, 3) == 2 + bool(tail)
    assert [record["step"] for record in read_metrics(path)] == [1, 2, 2]


def test_torn_lines_go_even_where_more_records_were_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2')
    assert truncate_metrics(path, 9) == 1
    assert path.read_text() == '{"step": 1}\n'


def test_truncation_of_nothing(tmp_path):
    assert truncate_metrics(tmp_path / "metrics.jsonl", 5) == 0


@pytest.mark.parametrize("tail", ["", '{"step": 999', "\x00\xff", '{"step": "x"}\n', "[1]\n\n"])
def test_the_newest_record_is_found_from_the_end(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path) as metrics:
        for step in range(3000):
            metrics.write(step, {"train/loss": step / 7})
    with path.open("a", encoding="latin-1") as file:
        file.write(tail)
    assert path.stat().st_size > log.TAIL_BYTES
    assert read_newest(path) == {"step": 2999, "train/loss": 2999 / 7}


def test_there_is_no_newest_record(tmp_path):
    assert read_newest(tmp_path / "metrics.jsonl") == {}
    (tmp_path / "metrics.jsonl").write_text('{"step"')
    assert read_newest(tmp_path / "metrics.jsonl") == {}
