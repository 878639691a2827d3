import json

import pytest
from tests.support.datasets import make_profile
from tests.support.midi_files import smf, write_file

from aurl.data.prepare import prepare

C_MAJOR = [(0, 240, 60, 100), (480, 240, 64, 100), (960, 240, 67, 20)]
WALTZ = [(0, 480, 40, 50), (480, 480, 47, 50)]


@pytest.fixture
def counted(tmp_path):
    """Two hand-made pieces, one long drone of repeated notes, a copy, and two files of no use."""
    library = tmp_path / "midi"
    library.mkdir()
    write_file(library / "chord.mid", smf(C_MAJOR, bpm=120, program=0))
    write_file(library / "copy.mid", smf(C_MAJOR, bpm=120, program=0))
    write_file(library / "waltz.mid", smf(WALTZ, bpm=95, program=40, meter=(3, 2)))
    write_file(library / "drone.mid", smf([(480 * beat, 480, 60, 64) for beat in range(100)], bpm=120, program=40))
    write_file(library / "none.mid", smf([]))
    write_file(library / "text.mid", b"no music")
    prepare([library], make_profile(), tmp_path / "dataset", jobs=1)
    return json.loads((tmp_path / "dataset" / "audit.json").read_text())


def test_counts(counted):
    assert {name: counted[name] for name in ("files", "prepared", "rejected", "duplicates", "notes")} == {
        "files": 6,
        "prepared": 3,
        "rejected": 2,
        "duplicates": 1,
        "notes": 105,
    }
    assert counted["seconds"] == pytest.approx(1.25 + 2 * 60 / 95 + 50, abs=0.01)
    assert sum(split["pieces"] for split in counted["splits"].values()) == 3
    assert sum(split["tokens"] for split in counted["splits"].values()) == counted["tokens"]


def test_rejects_have_reasons_and_examples(counted):
    assert sorted(counted["rejects"]) == ["no_notes", "not_midi"]
    assert counted["rejects"]["no_notes"]["examples"][0].endswith("none.mid")


def test_histograms(counted):
    found = counted["histograms"]
    pitches = {pitch: count for pitch, count in enumerate(found["pitch"]) if count}
    assert pitches == {40: 1, 47: 1, 60: 101, 64: 1, 67: 1}
    assert found["velocity"] == [1, 0, 102, 0, 2, 0]
    assert found["tempo"] == {"90": 1, "100": 0, "110": 0, "120": 2}
    assert found["meter"] == {"4/4": 2, "3/4": 1}
    assert found["key"] == {"unknown": 3}
    assert found["instruments"] == {"0": 1, "40": 2}
    assert found["notes"] == {"2": 1, "4": 1, "8": 0, "16": 0, "32": 0, "64": 0, "128": 1}


def test_truncation(counted):
    """Only the drone is longer than 256 tokens: an id for each onset, offset and step of time, and a few more."""
    long = counted["truncation"]["256"]
    assert long["pieces"] == 1
    total = counted["tokens"]
    assert long["tokens_lost"] == pytest.approx((max(0, 300 + 8 - 256)) / total, abs=0.02)
    assert counted["truncation"]["16384"] == {"pieces": 0, "tokens_lost": 0.0}


def test_histograms_leave_out_pieces_that_are_gone(tmp_path):
    library = tmp_path / "midi"
    library.mkdir()
    for number in range(5):
        write_file(library / f"{number}.mid", smf([(0, 480, 60 + number, 64)]))
    prepare([library], make_profile(), tmp_path / "dataset", jobs=1)
    (library / "2.mid").unlink()
    audit = prepare([library], make_profile(), tmp_path / "dataset", jobs=1).audit
    assert [pitch for pitch, count in enumerate(audit["histograms"]["pitch"]) if count] == [60, 61, 63, 64]
    assert sum(audit["histograms"]["velocity"]) == 4
