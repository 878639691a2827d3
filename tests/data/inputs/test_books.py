import gzip

import pytest
from tests.support.archives import write_old, zip_of

from aurl.data.inputs import read_source
from aurl.data.inputs.books import Book
from aurl.midi.reasons import RejectReason

FIRST = b"X:1\nT:First\nM:4/4\nK:C\nCDEF|\n\n"
SECOND = b"X:7\nT:Second\nL:1/4\nK:G\nGABc|\nX marks: nothing\n\n"
THIRD = b"X:7\nT:Third\nK:D\nDEFG|"
BOOK = FIRST + SECOND + THIRD


def test_tunes_are_members_by_their_place(tmp_path, contents, listed):
    path = write_old(tmp_path / "tunes.abc", BOOK)
    assert contents(path) == {"1": FIRST, "2": SECOND, "3": THIRD}
    assert [source.path for source in listed(tmp_path).sources] == [f"{path}!/{n}" for n in (1, 2, 3)]
    assert [source.size for source in listed(tmp_path).sources] == [len(FIRST), len(SECOND), len(THIRD)]


@pytest.mark.parametrize("data", [FIRST, b"no tune at all", b"", b"% X:1\nX:2\nK:C\nC|"])
def test_a_file_of_one_tune_stays_itself(tmp_path, contents, data):
    path = write_old(tmp_path / "tunes.abc", data)
    assert contents(path) == {str(path): data}


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_line_ends_of_all_systems(end):
    book = Book(b"\xef\xbb\xbf" + BOOK.replace(b"\n", end))
    assert [book.tune(n).replace(end, b"\n") for n in range(1, len(book) + 1)] == [FIRST, SECOND, THIRD]


def test_what_the_file_says_of_all_tunes_goes_with_each():
    book = Book(b"%abc-2.1\n%%landscape\nM:3/4\nL:1/8\nR:waltz\nfree text\n\n" + FIRST + SECOND)
    assert book.tune(1) == b"X:1\n%%landscape\nL:1/8\nR:waltz\n" + FIRST.removeprefix(b"X:1\n")
    assert book.tune(2) == b"X:7\n%%landscape\nM:3/4\nR:waltz\n" + SECOND.removeprefix(b"X:7\n")


@pytest.mark.parametrize("ordinal", ["0", "4", "-1", "x", "1/2", ""])
def test_tunes_that_are_not_there(tmp_path, spool, ordinal):
    path = write_old(tmp_path / "tunes.abc", BOOK)
    with pytest.raises(OSError, match="No such file"):
        read_source(f"{path}!/{ordinal}", 10**6, spool=spool)


def test_books_in_archives_and_in_gzip(tmp_path, listed, spool):
    pack = write_old(tmp_path / "x.zip", zip_of({"t.abc": BOOK, "one.abc": FIRST, "u.abc.gz": gzip.compress(BOOK)}))
    packed = write_old(tmp_path / "v.abc.gz", gzip.compress(BOOK))
    found = {source.path: read_source(source.path, 10**6, spool=spool) for source in listed(tmp_path).sources}
    tunes = {1: FIRST, 2: SECOND, 3: THIRD}
    books = (f"{pack}!/t.abc", f"{pack}!/u.abc.gz", str(packed))
    assert found == {f"{book}!/{n}": tune for book in books for n, tune in tunes.items()} | {f"{pack}!/one.abc": FIRST}


def test_a_book_that_was_changed_is_read_again(tmp_path, spool):
    path = write_old(tmp_path / "tunes.abc", BOOK)
    assert read_source(f"{path}!/1", 10**6, spool=spool) == FIRST
    path.write_bytes(THIRD + b"\n" + FIRST)
    assert read_source(f"{path}!/1", 10, spool=spool) == THIRD[:10]


def test_a_book_that_is_too_large_is_not_divided(tmp_path, listed):
    path = write_old(tmp_path / "tunes.abc", BOOK)
    assert [source.path for source in listed(path, max_bytes=len(BOOK) - 1).sources] == [str(path)]


def test_a_book_that_cannot_be_read_is_refused(tmp_path, refusals):
    write_old(tmp_path / "a.abc", FIRST)
    path = write_old(tmp_path / "tunes.abc.gz", gzip.compress(BOOK)[:-9])
    assert refusals(tmp_path, path) == {"": RejectReason.DAMAGED_ARCHIVE}


def test_a_book_whose_tunes_would_fill_the_memory_is_refused(tmp_path, refusals):
    head = b"%%fields that go with each tune\n" * 10_000
    bomb = write_old(tmp_path / "tunes.abc", head + b"X:1\n" * 1000)
    assert refusals(bomb) == {"": RejectReason.ARCHIVE_BOMB}
    assert len(Book(head + b"X:1\n" * 100)) == 100


def test_a_book_of_more_tunes_than_there_are(tmp_path, refusals, monkeypatch):
    monkeypatch.setattr("aurl.data.inputs.books.MAX_MEMBERS", 2)
    assert refusals(write_old(tmp_path / "tunes.abc", BOOK)) == {"": RejectReason.ARCHIVE_TOO_LARGE}
    assert len(Book(FIRST + SECOND)) == 2
