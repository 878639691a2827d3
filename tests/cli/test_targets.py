"""Where new pieces go, by names alone."""

from pathlib import Path

import pytest

from aurl.cli.output import Output
from aurl.cli.targets import SUFFIXES, check_free, check_stdout, plan_targets
from aurl.errors import NotFoundError, UsageError


def names(*outs, picture=None, count=1, **options):
    targets = plan_targets(outs, picture and Path(picture), count=count, seed=10, **options)
    return [[str(file) for file in target.files] for target in targets.pieces]


def test_many_numbers_have_equal_width_so_that_they_sort():
    files = [file for [file] in names("a/take.mid", count=12)]
    assert files == sorted(files)
    assert (files[0], files[11]) == ("a/take-01.mid", "a/take-12.mid")


def test_folder_that_is_there_or_ends_like_one(tmp_path):
    assert names(str(tmp_path)) == [[str(tmp_path / "aurl-10.mid")]]
    assert names("new/", picture="p.png", count=2) == [["new/aurl-10.mid", "p-1.png"], ["new/aurl-11.mid", "p-2.png"]]


def test_nothing_is_a_file_by_the_seed():
    assert names() == [["aurl-10.mid"]]
    assert names(picture="p.png") == [["aurl-10.mid", "p.png"]]


def test_stdout_has_no_file_but_there_may_be_others():
    targets = plan_targets(["-", "a.wav"], None, count=1, seed=1)
    assert targets.pieces[0].on_stdout
    assert list(targets.files) == [Path("a.wav")]


def test_a_page_is_one_file_for_all():
    targets = plan_targets(["a.HTML", "a.mid"], None, count=2, seed=1)
    assert targets.pages == (Path("a.HTML"),)
    assert [target.files for target in targets.pieces] == [(Path("a-1.mid"),), (Path("a-2.mid"),)]


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - {".html"}))
def test_every_kind_is_known_by_its_suffix(suffix):
    assert names(f"out{suffix.upper()}") == [[f"out{suffix.upper()}"]]


@pytest.mark.parametrize(
    ("outs", "choices"),
    [(["out.wav", "b.mid"], "out-1.json"), (["page.html"], "page-1.json"), ([], "aurl-3.json")],
)
def test_choices_are_told_beside_the_first_file(outs, choices):
    targets = plan_targets(outs, None, count=2, seed=3, choices=True)
    assert targets.pieces[0].choices == Path(choices)
    assert targets.pieces[0].choices in set(targets.files)


@pytest.mark.parametrize(
    ("outs", "options", "said"),
    [
        (["out"], {}, "neither a file of a known kind nor a folder"),
        (["out.mp3"], {}, "out.mp3"),
        (["out.mid.txt"], {}, "out.mid.txt"),
        (["a.png"], {"picture": Path("a.png")}, "twice"),
        (["a.mid", "a.mid"], {}, "twice"),
        ([], {"picture": Path("a.jpg")}, "no .png file"),
        (["-"], {"choices": True}, "beside a file"),
        (["a.mid"], {"soundfont": Path("a.sf2")}, "--soundfont"),
    ],
)
def test_what_cannot_be_written_is_refused(outs, options, said):
    with pytest.raises(UsageError, match=said):
        plan_targets(outs, options.pop("picture", None), count=1, seed=1, **options)


def test_soundfont_that_is_not_there():
    with pytest.raises(NotFoundError, match=r"no\.sf2"):
        plan_targets(["a.wav"], None, count=1, seed=1, soundfont=Path("no.sf2"))


@pytest.mark.parametrize("name", ["a-2.wav", "p.html", "a-1.json"])
def test_nothing_is_overwritten(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    targets = plan_targets(["a.wav", "p.html"], None, count=2, seed=1, choices=True)
    check_free(targets)
    Path(name).touch()
    with pytest.raises(UsageError, match=name):
        check_free(targets)


def test_stdout_holds_one_thing():
    check_stdout(Output(), ["a.mid"], 9)
    for output, count in ((Output(as_json=True), 1), (Output(), 2)):
        with pytest.raises(UsageError, match="stdout"):
            check_stdout(output, ["-"], count)
