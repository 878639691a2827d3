import csv
import io
import json
import unicodedata
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurl.data.labels import Labels
from aurl.data.labels import table as label_index
from aurl.data.labels.table import Row
from aurl.errors import NotFoundError, UsageError


def told(tmp_path, text, name="index.csv"):
    """Labels from an index with this content."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Labels.load(path, ())


def fault(tmp_path, text, name="index.csv"):
    with pytest.raises(UsageError) as caught:
        told(tmp_path, text, name)
    assert caught.value.hint
    assert name in caught.value.message
    return caught.value.message


def test_without_anything_nothing_is_known():
    labels = Labels.load(None, ())
    assert labels.of("/a/b.mid") == {}
    assert labels.unused(["/a/b.mid"]) == ((), ())


@pytest.mark.parametrize(
    "text",
    [
        "path,composer,split\na/b.mid,Bach,test\n",
        "\ufeffpath,composer,split\r\na/b.mid,Bach,test\r\n",
        'Composer;"FILE";split\n"Bach";"a/b.mid";test\n',
        "filename\tcomposer\tsplit\na/b.mid\tBach\ttest\n\n",
        "composer,midi_filename,split,year\nBach,a\\b.mid,test,\n",
        ",path,composer,split\n0,./a//b.mid,  Bach\x00 ,test\n",
        'path,composer,split\na/b.mid,"Bach\n",test\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_many_kinds(tmp_path, text, encoding):
    labels = told(tmp_path, text.replace("\ufeff", "" if encoding == "utf-16" else "\ufeff").encode(encoding))
    assert labels.of(str(tmp_path / "a" / "b.mid")) == {"composer": "Bach", "split": "test"}


def test_cells_may_hold_delimiters_quotes_and_lines(tmp_path):
    labels = told(tmp_path, 'path,title\n"a, b.mid","He said ""Oh""\nand left"\n')
    assert labels.of(str(tmp_path / "a, b.mid")) == {"title": 'He said "Oh" and left'}


VISIBLE = st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\")
WORDS = st.text(VISIBLE, min_size=1, max_size=8)
FILES = st.lists(WORDS.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)
TOLD = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@given(
    tables=st.dictionaries(FILES, st.tuples(TOLD, TOLD), min_size=1, max_size=4),
    kind=st.sampled_from([",", ";", "\t", "list", "object"]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_from_any_form(tmp_path, tables, kind):
    rows = [{"path": path, "composer": one, "title": other} for path, (one, other) in tables.items()]
    if kind == "list":
        name, text = "index.json", json.dumps(rows)
    elif kind == "object":
        name, text = "index.json", json.dumps({row["path"]: row for row in rows}, ensure_ascii=False)
    else:
        name, table = "index.csv", io.StringIO()
        writer = csv.DictWriter(table, ["path", "composer", "title"], delimiter=kind)
        writer.writeheader()
        writer.writerows(rows)
        text = table.getvalue()
    labels = told(tmp_path, text, name)
    for path, (one, other) in tables.items():
        if [unicodedata.normalize("NFC", each) for each in tables].count(unicodedata.normalize("NFC", path)) == 1:
            assert labels.of(f"{tmp_path}/{path}") == {"composer": one, "title": other}


@pytest.mark.parametrize(
    "value",
    [
        [{"path": "a/b.mid", "Composer": "Bach", "year": 1720, "note": None, "empty": ""}],
        {"a/b.mid": {"composer": "Bach", "year": 1720}},
    ],
)
def test_json(tmp_path, value):
    labels = told(tmp_path, json.dumps(value), "index.json")
    assert labels.of(str(tmp_path / "a" / "b.mid")) == {"composer": "Bach", "year": "1720"}


def test_splits_have_other_names_elsewhere(tmp_path):
    labels = told(tmp_path, "path,split\na.mid,validation\nb.mid,Train\n")
    assert labels.of("/a.mid") == {"split": "valid"}
    assert labels.of("/b.mid") == {"split": "train"}


def test_what_a_row_names(tmp_path):
    rows = "a.mid,near\nx/a.mid,longer\n../up/c.mid,above\n/abs/d.mid,absolute\nz.zip!/e/f.mid,packed\n"
    labels = told(tmp_path, "path,title\n" + rows)
    up = tmp_path.parent / "up" / "c.mid"
    expected = {
        f"{tmp_path}/a.mid": "near",
        "/elsewhere/a.mid": "near",  # no file is where the row leads to
        "/elsewhere/x/a.mid": "longer",
        "/elsewhere/ya.mid": None,  # not a whole component
        "/elsewhere/a.mid/b": None,
        str(up): "above",
        "/elsewhere/up/c.mid": None,
        "/abs/d.mid": "absolute",
        f"{tmp_path}/z.zip!/e/f.mid": "packed",
        "https://host/z.zip!/e/f.mid": "packed",
        "/e/f.mid": None,
    }
    assert {path: labels.of(path).get("title") for path in expected} == expected


def test_a_row_that_leads_to_a_file_means_no_other(tmp_path):
    (tmp_path / "a.mid").touch()
    labels = told(tmp_path, "path,title\na.mid,mine\n")
    assert labels.of(str(tmp_path / "a.mid")) == {"title": "mine"}
    assert labels.of("/elsewhere/a.mid") == {}


def test_accents_are_the_same_however_they_are_stored(tmp_path):
    labels = told(tmp_path, "path,title\nFu\u0308r Elise.mid,two\n")
    assert labels.of("/F\u00fcr Elise.mid") == labels.of("/Fu\u0308r Elise.mid") == {"title": "two"}


def test_rows_that_are_of_no_use_can_be_asked_for(tmp_path):
    rows = "a.mid,1\nb.mid,2\nc.mid,3\nc.mid,4\nd.mid,5\nd.mid,5\n"
    labels = told(tmp_path, "path,title\n" + rows)
    unused = labels.unused(["/x/a.mid", "/y/a.mid", "/x/c.mid", "/x/d.mid"])
    assert unused.missing == ("b.mid",)
    assert unused.ambiguous == ("a.mid", "c.mid", "c.mid")
    assert labels.of("/x/c.mid") == {}
    assert labels.of("/x/d.mid") == {"title": "5"}


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "index.csv", "line 1: no column is called path"),
        ("composer,title\n", "index.csv", "line 1: no column is called path"),
        ("path,title,Title\n", "index.csv", "line 1: two columns have one name"),
        ("path,split\na.mid,train\nb.mid,dance\n", "index.csv", "line 3: the split is 'dance'"),
        ("path,title\na.mid,x,y\n", "index.csv", "line 2: 3 cells under 2 columns"),
        ("path,title\n,x\n", "index.csv", "line 2: no file is named"),
        ('path,title\na.mid,"x"y\n', "index.csv", "line 2: "),
        ('path,title\na.mid,"x\n', "index.csv", "line 2: "),
        ("path,title\na.mid," + "x" * 1001 + "\n", "index.csv", "line 2: title has 1001 characters"),
        ("path,title\na.mid," + "x" * 200_000 + "\n", "index.csv", "line 2: field larger than field limit"),
        (b"path,title\na.mid,\xff\xe9\n", "index.csv", "line 2: not UTF-8"),
        ("path," + ",".join(f"k{n}" for n in range(65)) + "\na.mid" + ",x" * 65, "index.csv", "more than 64 different"),
        ("{", "index.json", "no JSON (Expecting"),
        ("[" * 100_000, "index.json", "no JSON"),
        ("3", "index.json", "should hold a list of tables"),
        ('{"a.mid": "Bach"}', "index.json", "entry 'a.mid' is no table"),
        ('[{"path": "a.mid"}, {"composer": "Bach"}]', "index.json", "entry 2: no file is named"),
        ('[{"path": 3}]', "index.json", "entry 1: no file is named"),
        ('[{"path": "a.mid", "tags": ["x"]}]', "index.json", "entry 1: tags is a list"),
        ('[{"path": "a.mid", "split": "dance"}]', "index.json", "entry 1: the split is 'dance'"),
    ],
)
def test_faults_name_file_place_and_next_step(tmp_path, text, name, message):
    assert message in fault(tmp_path, text, name)


def test_an_index_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match="does not exist"):
        Labels.load(tmp_path / "none.csv", ())
    with pytest.raises(UsageError, match="directory"):
        Labels.load(tmp_path, ())
    monkeypatch.setattr(label_index, "MAX_INDEX_BYTES", 10)
    assert "has more than" in fault(tmp_path, "path,composer\n")


@pytest.mark.parametrize(
    ("pattern", "path", "labels"),
    [
        ("{composer}/{genre}/*", "/m/Bach/fugue/1.mid", {"composer": "Bach", "genre": "fugue"}),
        ("{composer}/{genre}/*", "fugue/1.mid", {}),
        ("{composer} - {title}.mid", "/m/Bach - Air.mid", {"composer": "Bach", "title": "Air"}),
        ("{composer} - {title}.mid", "/m/Bach - Air - 2.mid", {"composer": "Bach", "title": "Air - 2"}),
        ("{composer} - {title}.mid", "/m/Bach - Air.midi", {}),
        ("{composer} - {title}.mid", "/m/Bach/ - Air.mid", {}),
        ("music/{composer}/**", "/m/music/Bach/a/b/1.mid", {"composer": "Bach"}),
        ("music/{composer}/**", "/m/musics/Bach/1.mid", {}),
        ("{genre}/**/{title}.*", "/jazz/1.mid", {"genre": "jazz", "title": "1"}),
        ("/{Composer}/*_{Year}.mid", "/Bach/a_b_1720.mid", {"composer": "Bach", "year": "1720"}),
        ("{split}/*", "/validation/1.mid", {"split": "valid"}),
        ("{split}/*", "/misc/1.mid", {}),
        ("{book}/{number}", "/x/tunes.abc!/12", {"book": "tunes.abc!", "number": "12"}),
        ("{composer}/*", "/m/Ba\x1b\n ch\u202e/1.mid", {"composer": "Ba ch"}),
        ("{composer}/*", "/m/\x1b/1.mid", {}),
        ("a+b({x})/*", "/a+b(1)/c.mid", {"x": "1"}),
    ],
)
def test_patterns(pattern, path, labels):
    assert Labels.load(None, (pattern,)).of(path) == labels


@pytest.mark.parametrize(
    "pattern",
    ["", "*", "music/*.mid", "{}/*", "{a b}/*", "{a}{b}", "{a}*", "*{a}{", "{a}/{a}", "{a}//b", "a}/{b}", "{a"],
)
def test_what_is_no_pattern(pattern):
    with pytest.raises(UsageError, match="pattern") as caught:
        Labels.load(None, (pattern,))
    assert caught.value.hint


def test_the_first_pattern_that_tells_a_label_counts_and_the_index_beats_them(tmp_path):
    (tmp_path / "index.csv").write_text("path,genre\nb.mid,fugue\n")
    labels = Labels.load(tmp_path / "index.csv", ("{composer} - {title}.mid", "{composer}/{genre}/*"))
    assert labels.of("/m/Bach/air/Suite - 3.mid") == {"composer": "Suite", "title": "3", "genre": "air"}
    assert labels.of("/m/Bach/air/b.mid") == {"composer": "Bach", "genre": "fugue"}


@pytest.mark.parametrize("pattern", ["*/{x}", "**/*/{x}", "{x}/*"])
def test_the_root_is_no_component(pattern):
    labels = Labels.load(None, (pattern,))
    assert labels.of("/a.mid") == {}
    assert set(labels.of("/m/a.mid")) == {"x"}


NAMES = st.sampled_from(["a", "b", "c.mid", "aa"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(st.lists(PATHS, max_size=6, unique=True), st.lists(PATHS.map(lambda path: f"/{path}"), max_size=4, unique=True))
def test_rows_are_found_as_by_looking_at_each(rows, paths):
    labels = Labels([Row(path, {"row": path}) for path in rows], "/no such folder/a", ())
    expected = {path: longest_ending(rows, path) for path in paths}
    assert {path: labels.of(path).get("row") for path in paths} == expected
    named = list(expected.values())
    unused = labels.unused(paths)
    assert set(unused.missing) == {row for row in rows if row not in named}
    assert set(unused.ambiguous) == {row for row in rows if named.count(row) > 1}


def longest_ending(rows, path):
    found = [row for row in rows if path.split("/")[-len(row.split("/")) :] == row.split("/")]
    return max(found, key=len, default=None)


PIECES = st.sampled_from(["{x}", "*", "a", "b", "-"])
COMPONENTS = st.lists(PIECES, min_size=1, max_size=3).map("".join) | st.just("**")


@given(
    st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join),
    st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_patterns_match_as_by_trying_everything(pattern, parts):
    try:
        labels = Labels.load(None, (pattern,))
    except UsageError:
        return
    found = labels.of("/" + "/".join(parts)).get("x")
    possible = readings(pattern.split("/"), parts)
    assert (found in possible) if possible else (found is None)


def readings(pattern, parts):
    """Every value of x with which the pattern spells the last parts."""
    found = set()
    for start in range(len(parts)):
        for spread in product(range(len(parts) + 1), repeat=pattern.count("**")):
            sizes = iter(spread)
            stretched = [one for part in pattern for one in (["*"] * next(sizes) if part == "**" else [part])]
            if pattern[-1] == "**" and not spread[-1]:
                continue
            if len(stretched) == len(parts) - start:
                found |= spelt(stretched, parts[start:])
    return found


def spelt(pattern, parts):
    values = {part[i:j] for part in parts for i in range(len(part)) for j in range(i + 1, len(part) + 1)}
    return {
        x for x in values if all(fits(one.replace("{x}", x), part) for one, part in zip(pattern, parts, strict=True))
    }


def fits(glob, text):
    if not glob:
        return not text
    if glob[0] == "*":
        return any(fits(glob[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and glob[0] == text[0] and fits(glob[1:], text[1:])


def test_the_folder_of_an_index_may_be_the_one_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.csv").write_text("path,title\na.mid,here\n")
    (tmp_path / "a.mid").touch()
    labels = Labels.load(Path("index.csv"), ())
    assert labels.of(str(tmp_path / "a.mid")) == {"title": "here"}
    assert labels.of("/b/a.mid") == {}
