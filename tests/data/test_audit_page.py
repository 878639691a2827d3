import re

from tests.support.datasets import make_profile
from tests.support.midi_files import write_file, write_tunes

from aurl.data import audit
from aurl.data.audit_page import MAX_BARS, audit_page
from aurl.data.prepare import prepare
from aurl.midi.reasons import RejectReason, next_step


def test_the_page_tells_what_the_audit_counts(tmp_path):
    library = tmp_path / "midi"
    write_tunes(library, 12)
    same = (library / "part-1" / "tune-001.mid").read_bytes()
    for composer in ("Bach", "Händel"):
        write_file(library / "part-0" / f"{composer}.mid", same + composer.encode())
    write_file(library / "part-0" / "zz-copy.mid", same + b"Bach")
    hostile = "<b>\u202e&.mid"
    write_file(library / hostile, b"no music")
    profile = make_profile('prepare.labels=["part-{part}/*"]')
    result = prepare([library], profile, tmp_path / "dataset", jobs=1)
    page = (tmp_path / "dataset" / "audit.html").read_text(encoding="utf-8")
    assert page == audit_page(audit.read(tmp_path / "dataset"), title="dataset")
    assert f"<b>{result.notes:,}</b>notes" in page
    assert f"<b>{result.tokens:,}</b>tokens" in page
    for title in ("Length in tokens", "Pitch", "Velocity", "Tempo", "Key", "Instruments", "Complexity", "by seq_len"):
        assert title in page
    assert "not_midi" in page
    assert next_step(RejectReason.NOT_MIDI) in page
    assert ">107–127</text>" in page
    assert "Bach.mid<br>" in page
    assert "zz-copy" not in page, "of the same bytes one is enough"
    assert "&lt;b&gt;\\u202e&amp;.mid" in page
    assert "\u202e" not in page
    assert "Label: part" in page
    assert "Near-duplicates" in page
    assert not re.search(r"https?://|<script", page)


def test_of_too_many_to_draw_the_commonest_are_drawn(tmp_path):
    write_tunes(tmp_path / "midi", 3)
    counted = dict(prepare([tmp_path / "midi"], make_profile(), tmp_path / "dataset", jobs=1).audit)
    many = {f"meter-{number:03}": number for number in range(1, 2 * MAX_BARS)}
    counted["histograms"] = {**counted["histograms"], "meter": many}
    page = audit_page(counted, title="many")
    assert all((f"meter-{number:03}" in page) == (number >= MAX_BARS) for number in range(1, 2 * MAX_BARS))


def test_nothing_at_all(tmp_path):
    write_file(tmp_path / "midi.mid", b"no music")
    prepare([tmp_path / "midi.mid"], make_profile(), tmp_path / "dataset", jobs=1)
    assert "<b>0</b>prepared" in (tmp_path / "dataset" / "audit.html").read_text(encoding="utf-8")
