"""The page of a run, as a person finds it in the folder."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from tests.support.pages import Tags
from tests.support.training import melody, small_profile

from aurl.training import dashboard
from aurl.training.dashboard import Dashboard, leave_dashboard, write_dashboard
from aurl.training.groups import charts
from aurl.training.rolls import HEIGHT, MAX_NOTES, WIDTH, roll
from aurl.training.run import create_run
from aurl.training.runs import describe_run
from aurl.training.traces import Traces

HOSTILE = '<script>alert("1")</script>&\x1b[2J'


@pytest.fixture
def run(tmp_path):
    run = create_run(tmp_path / "run", small_profile(lr=0.0123), tmp_path, processes=1)
    records = [
        {"step": step, "train/loss": 7 / step, "train/nats_per_token": 7 / step, "lr": 0.1, "tokens": 50 * step}
        for step in range(1, 41)
    ]
    records.insert(20, {"step": 20, "valid/nats_per_token": 0.6, HOSTILE: 3.0, "valid/nats_per_note": None})
    run.metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    run.samples.mkdir()
    (run.samples / "step-00000020.mid").write_bytes(melody(1))
    return run


def page_of(run):
    write_dashboard(run.folder)
    return (run.folder / "dashboard.html").read_text()


def test_every_logged_name_is_a_curve_with_its_newest_value(run):
    content = page_of(run)
    tags = Tags(content)
    assert tags.open == []
    names = {"train/loss", "train/nats_per_token", "valid/nats_per_token", "lr", "tokens", HOSTILE}
    traces = Traces.read(run.metrics)
    assert set(traces.names) == names
    figures = re.findall(r'<figure class="curves">.*?</figure>', content)
    assert len(figures) == sum(len(found) for _, found in charts(names)) == 5
    legends = {"".join(entry.itertext()) for figure in figures for entry in ET.fromstring(figure).iter("span")}
    assert {"train/loss 0.175", "train/nats_per_token 0.175", "valid/nats_per_token 0.6", "tokens 2,000"} < legends
    together = next(figure for figure in figures if "valid/nats_per_token" in figure)
    assert "train/nats_per_token" in together


def test_it_needs_nothing_but_itself(run):
    tags = Tags(page_of(run))
    assert not {tag for tag, _ in tags.seen} & {"link", "img", "iframe", "object", "embed"}
    assert [attributes for tag, attributes in tags.seen if tag == "script"] == [{}]
    led = [attributes["href"] for tag, attributes in tags.seen if "href" in attributes]
    assert led == ["samples/step-00000020.mid"]


def test_hostile_names_and_words_are_only_text(run):
    (run.folder / "events.jsonl").write_text(json.dumps({"step": 3, "kind": HOSTILE, "message": HOSTILE}) + "\n")
    (run.samples / f"{HOSTILE.replace('/', '')}.mid").write_bytes(b"")
    tags = Tags(page_of(run))
    assert len([tag for tag, _ in tags.seen if tag == "script"]) == 1
    assert HOSTILE.replace("\x1b", "\\x1b") in tags.text
    assert "\x1b" not in (run.folder / "dashboard.html").read_text()


def test_advice_is_shown_until_it_is_called_off(run):
    def alarm(name, **facts):
        return json.dumps({"step": 9, "kind": "alarm", "name": name, "message": f"{name} seen", **facts})

    events = [
        alarm("collapse", on=True, advice="raise free bits"),
        alarm("overfitting", on=True, advice="stop"),
        alarm("overfitting", on=False),
        '{"step": 12, "kind": "rollback", "message": "back to step 10"}',
        '{"step": 14, "kind": "skipped", "message": "one update"}',
    ]
    (run.folder / "events.jsonl").write_text("\n".join(events) + "\n")
    content = page_of(run)
    assert [event["name"] for event in describe_run(run.folder).advice] == ["collapse"]
    assert re.findall(r'<div class="advice"><b>(.*?)</b>(.*?)</div>', content) == [("collapse seen", "raise free bits")]
    figure = ET.fromstring(re.search(r'<figure class="curves">.*?</figure>', content)[0])
    marks = [(one.get("class"), one.find("title").text) for one in figure.iter("line") if one.find("title") is not None]
    assert marks == [
        ("mark bad", "alarm: collapse seen"),
        ("mark bad", "alarm: overfitting seen"),
        ("mark", "alarm: overfitting seen"),
        ("mark bad", "rollback: back to step 10"),
        ("mark", "skipped: one update"),
    ]
    assert "one update" in Tags(content).text


def test_what_differs_from_the_defaults_is_told_first(run):
    content = page_of(run)
    changed, _, whole = content[content.index("<h2>Profile</h2>") :].partition("<details>")
    assert "<td>training.lr</td><td>0.0123</td><td>0.0006</td>" in changed
    assert "training.patience" not in changed
    assert "<td>training.patience</td><td>10</td>" in whole


def test_a_page_elsewhere_leads_to_the_samples(run, tmp_path):
    path = write_dashboard(run.folder, tmp_path / "out" / "page.html")
    led = [attributes["href"] for _, attributes in Tags(path.read_text()).seen if "href" in attributes]
    assert led == [(run.samples / "step-00000020.mid").as_uri()]
    assert not (run.folder / "dashboard.html").exists()


def test_while_training_it_follows_validations_and_checkpoints(run, monkeypatch):
    monkeypatch.setattr(dashboard, "SECONDS_BETWEEN", 0.0)
    path, shown = run.folder / "dashboard.html", Dashboard(run)
    shown.write(41, {"train/loss": 0.111})
    assert not path.exists()
    shown.write(41, {"valid/nats_per_token": 0.555})
    assert "0.555" in path.read_text()
    shown.write(42, {"train/loss": 0.1234})
    assert "0.1234" not in path.read_text()
    shown.sync()
    assert "0.1234" in path.read_text()
    assert "0.175" in path.read_text(), "what other names had before it began is still there"


def test_it_is_not_written_all_the_time(run, monkeypatch):
    shown, path = Dashboard(run), run.folder / "dashboard.html"
    shown.sync()
    path.unlink()
    shown.sync()
    assert not path.exists()


def test_the_page_of_a_sitting_that_ended_is_not_worth_an_error(run, caplog):
    leave_dashboard(run)
    assert "train/loss" in (run.folder / "dashboard.html").read_text()
    (run.folder / "dashboard.html").unlink()
    (run.folder / "dashboard.html").mkdir()
    leave_dashboard(run)
    assert "no dashboard of run" in caplog.text


@pytest.mark.parametrize("name", ["run.json", "profile.toml", "metrics.jsonl"])
def test_a_damaged_run_has_a_page_that_says_so(run, name):
    (run.folder / name).write_bytes(b"\xff{[")
    tags = Tags(page_of(run))
    assert tags.open == []
    assert (name in tags.text) == (name != "metrics.jsonl")


class TestRolls:
    def test_every_note_is_a_stroke_inside(self, tmp_path):
        path = tmp_path / "a.mid"
        path.write_bytes(melody(3, notes=50))
        picture = ET.fromstring(roll(path))
        (track,) = picture.iter("path")
        strokes = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", track.get("d"))
        assert len(strokes) == 50
        for x, y, length in strokes:
            assert 0 <= float(x) < float(x) + float(length) <= WIDTH + 2
            assert 0 < float(y) < HEIGHT

    def test_what_is_higher_stands_higher(self, tmp_path):
        path = tmp_path / "a.mid"
        path.write_bytes(melody(3, notes=50))
        from aurl.midi.read import load_score

        pitches = load_score(path).score.tracks[0].notes.pitch.tolist()
        strokes = re.findall(r" ([\d.]+)h", roll(path))
        heights = dict(zip(pitches, map(float, strokes), strict=True))
        assert [heights[pitch] for pitch in sorted(heights)] == sorted(heights.values(), reverse=True)

    def test_long_pieces_are_cut(self, tmp_path):
        path = tmp_path / "a.mid"
        path.write_bytes(melody(3, notes=MAX_NOTES + 100))
        assert roll(path).count("M") == MAX_NOTES

    @pytest.mark.parametrize("content", [b"", b"MThd", melody(1, notes=1)[:20]])
    def test_what_is_no_music_is_no_picture(self, tmp_path, content):
        path = tmp_path / "a.mid"
        path.write_bytes(content)
        assert roll(path) == ""
        assert roll(tmp_path / "missing.mid") == ""
