import gzip
import http.server
import os
import sys
import threading
from functools import partial
from multiprocessing import get_context

import fsspec
import pytest
from tests.support.archives import OLD, tar_of, write_old, zip_of
from tests.support.midi_files import tune

from aurl.data.inputs import UNKNOWN, read_source, remote
from aurl.data.inputs.remote import _changed_ns
from aurl.errors import AurlError, NotFoundError, UsageError
from aurl.midi.reasons import Rejected, RejectReason

BOOK = b"X:1\nK:C\nCDEF|\nX:2\nK:D\nDEFG|\n"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and remembers what it was asked for; what `server.answers` names it answers as told there."""

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        answers = self.server.answers
        if answer := answers.get(f"{self.command} {self.path}", answers.get(self.path)):
            status, headers, body = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")
        elif self.command == "HEAD":
            super().do_HEAD()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of `tmp_path / "www"`, with an address, a log and a table of answers."""
    folder = tmp_path / "www"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=os.fspath(folder)))
    server.daemon_threads = True
    server.url, server.folder = f"http://127.0.0.1:{server.server_port}", folder
    server.asked, server.answers = [], {}
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site(server):
    for name, data in {
        "a.mid": tune(1),
        "notes.txt": b"",
        "deep/b c.kar": tune(2),
        "deep/er/c.mid.gz": gzip.compress(tune(3)),
        "pack.zip": zip_of({"d.mid": tune(4), "../e.mid": tune(5)}),
        "pack.tar.gz": gzip.compress(tar_of({"f.mid": tune(6)})),
        "book.abc": BOOK,
        "__MACOSX/x.mid": b"",
    }.items():
        write_old(server.folder / name, data)
    return server


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def everything(root, space="%20"):
    return {
        f"{root}/a.mid": tune(1),
        f"{root}/deep/b{space}c.kar": tune(2),
        f"{root}/deep/er/c.mid.gz": tune(3),
        f"{root}/pack.zip!/d.mid": tune(4),
        f"{root}/pack.zip!/../e.mid": tune(5),
        f"{root}/pack.tar.gz!/f.mid": tune(6),
        f"{root}/book.abc!/1": BOOK[:14],
        f"{root}/book.abc!/2": BOOK[14:],
    }


@pytest.fixture
def read(listed, spool):
    def read(*paths):
        return {source.path: read_source(source.path, 10**6, spool=spool) for source in listed(*paths).sources}

    return read


@pytest.mark.parametrize("end", ["", "/"])
def test_the_page_of_a_folder(site, read, end):
    assert read(site.url + end) == everything(site.url)


def test_times_and_sizes_are_the_servers(site, listed):
    sources = {source.path: source for source in listed(site.url).sources}
    assert sources[f"{site.url}/a.mid"][1:] == (len(tune(1)), OLD * 10**9)
    assert sources[f"{site.url}/pack.zip!/d.mid"][1:] == (len(tune(4)), OLD * 10**9)


def test_an_unchanged_server_is_not_asked_for_contents_again(site, listed, read):
    first, found = read(site.url), listed(site.url)
    site.asked.clear()
    assert listed(site.url) == found
    assert read(site.url) == first
    assert {path for command, path in site.asked if command == "GET"} == {"/", "/deep/", "/deep/er/", "/__MACOSX/"}


def test_what_has_changed_is_fetched_again(site, read):
    read(site.url)
    write_old(site.folder / "a.mid", tune(9))
    write_old(site.folder / "pack.zip", zip_of({"d.mid": tune(10)}))
    os.utime(site.folder / "pack.zip", (OLD + 5, OLD + 5))
    found = read(site.url)
    assert found[f"{site.url}/a.mid"] == tune(9)
    assert found[f"{site.url}/pack.zip!/d.mid"] == tune(10)
    assert f"{site.url}/pack.zip!/../e.mid" not in found


def test_single_files_and_globs(site, read):
    assert read(f"{site.url}/a.mid") == {f"{site.url}/a.mid": tune(1)}
    assert read(f"{site.url}/deep/*.kar") == {f"{site.url}/deep/b%20c.kar": tune(2)}
    assert read(f"{site.url}/pack.zip").keys() == {f"{site.url}/pack.zip!/d.mid", f"{site.url}/pack.zip!/../e.mid"}


def test_names_behind_queries(site, read):
    data = zip_of({"a.mid": tune(1)})
    site.answers["/get?file=x"] = 200, {"Content-Type": "audio/midi", "Content-Length": str(len(tune(2)))}, tune(2)
    site.answers["/pack.zip?key=1"] = 200, {"Content-Length": str(len(data)), "ETag": '"1"'}, data
    assert read(f"{site.url}/get?file=x") == {f"{site.url}/get?file=x": tune(2)}
    assert read(f"{site.url}/pack.zip?key=1") == {f"{site.url}/pack.zip?key=1!/a.mid": tune(1)}


def test_marks_stand_in_for_times(site, listed):
    url, headers = f"{site.url}/x.mid", {"Content-Length": str(len(tune(1)))}
    seen = []
    for mark in ('"1"', '"2"', '"1"'):
        site.answers["/x.mid"] = 200, {**headers, "ETag": mark}, tune(1)
        seen += listed(url).sources
    assert seen[0] == seen[2] != seen[1]
    assert 0 < seen[0].mtime_ns < OLD * 10**9


def test_a_server_that_tells_nothing_is_read_each_time(site, read, listed):
    url = f"{site.url}/x.mid"
    for number in (1, 2):
        site.answers["/x.mid"] = 200, {}, tune(number)
        assert read(url) == {url: tune(number)}
    assert listed(url).sources[0].mtime_ns == UNKNOWN


def test_one_failing_file_is_one_refusal(site, listed):
    site.answers["/a.mid"] = 500, {}, b""
    site.answers["/deep/"] = 403, {}, b""
    found = listed(site.url)
    assert {(path, reason) for path, reason, _ in found.refused} == {
        (f"{site.url}/a.mid", RejectReason.UNREADABLE),
        (f"{site.url}/deep/", RejectReason.UNREADABLE),
    }
    assert len(found.sources) == 5


def test_a_file_that_goes_before_it_is_read(site, listed, spool):
    source = listed(f"{site.url}/a.mid").sources[0]
    (site.folder / "a.mid").unlink()
    with pytest.raises(OSError, match=r"404|a\.mid"):
        read_source(source.path, 10**6, spool=spool)


def test_a_file_that_is_larger_than_its_listing_says(site, listed, spool):
    site.answers["/a.mid"] = 200, {"Last-Modified": "Thu, 01 Jan 2015 00:00:00 GMT"}, bytes(5000)
    source = listed(f"{site.url}/a.mid").sources[0]
    with pytest.raises(Rejected) as caught:
        read_source(source.path, 4000, spool=spool)
    assert caught.value.reason is RejectReason.TOO_LARGE
    assert caught.value.name == source.path


def test_a_connection_that_breaks(site, listed, spool):
    site.answers["/a.mid"] = 200, {"Content-Length": "5000", "ETag": "x"}, bytes(50)
    source = listed(f"{site.url}/a.mid").sources[0]
    with pytest.raises(OSError, match=r"\w"):
        read_source(source.path, 10**6, spool=spool)
    assert not [path for path in spool.rglob("*") if path.is_file() and path.name not in (".lock", ".trimmed")]


def test_a_damaged_archive_is_one_refusal(site, listed):
    write_old(site.folder / "bad.zip", b"no zip")
    found = listed(site.url)
    assert [(path, reason) for path, reason, _ in found.refused] == [
        (f"{site.url}/bad.zip", RejectReason.DAMAGED_ARCHIVE)
    ]
    assert len(found.sources) == 8


def test_pages_that_lead_out_or_in_circles(site, read):
    links = '<a href="/a.mid">a</a> <a href="../../x.mid">x</a> <a href="http://elsewhere.invalid/y.mid">y</a>'
    page = f'{links} <a href="/loop/">l</a> <a href="in/">i</a> <a href="?C=N;O=D">n</a> <a href="b.mid">b</a>'
    for path in ("/loop/", "/loop/in/"):
        site.answers[path] = 200, {"Content-Type": "text/html"}, page.encode()
    for path in ("/loop/b.mid", "/loop/in/b.mid"):
        site.answers[path] = 200, {"Content-Length": "1", "ETag": "x"}, b"x"
    site.answers["/loop/in/in/"] = 404, {}, b""
    assert read(f"{site.url}/loop/") == {f"{site.url}/loop/b.mid": b"x", f"{site.url}/loop/in/b.mid": b"x"}


@pytest.mark.parametrize("path", ["/gone.mid", "/gone/", "/*.xyz", "/empty/"])
def test_what_is_not_there(site, listed, path):
    (site.folder / "empty").mkdir()
    with pytest.raises(NotFoundError) as caught:
        listed(site.url + path)
    assert site.url in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_server_that_is_down(server, listed):
    url = server.url.replace(str(server.server_port), "1")
    for path in ("/a.mid", "/folder/"):
        with pytest.raises(NotFoundError, match=r"127\.0\.0\.1"):
            listed(url + path)


def test_a_server_that_fails(server, listed):
    server.answers["HEAD /folder/"] = 200, {"Content-Type": "text/html", "Content-Length": "9"}, b""
    server.answers["GET /folder/"] = 500, {}, b""
    with pytest.raises(AurlError, match=r"cannot list .*500"):
        listed(f"{server.url}/folder/")


def test_a_server_with_folders_without_end(server, listed, monkeypatch):
    monkeypatch.setattr(remote, "MAX_FOLDERS", 5)
    path = "/"
    for _ in range(9):
        server.answers[path] = 200, {"Content-Type": "text/html"}, b'<a href="more/">more</a>'
        path += "more/"
    with pytest.raises(AurlError, match="more than 5 folders"):
        listed(server.url)


def test_any_file_system_of_fsspec(memory, read, listed):
    for path, data in {
        "/lib/a.mid": tune(1),
        "/lib/deep/b c.kar": tune(2),
        "/lib/deep/er/c.mid.gz": gzip.compress(tune(3)),
        "/lib/pack.zip": zip_of({"d.mid": tune(4), "../e.mid": tune(5)}),
        "/lib/pack.tar.gz": gzip.compress(tar_of({"f.mid": tune(6)})),
        "/lib/book.abc": BOOK,
        "/lib/other.txt": b"",
    }.items():
        memory.pipe(path, data)
    found = read("memory://lib")
    assert {path.replace("memory:///", "memory://"): data for path, data in found.items()} == everything(
        "memory://lib", " "
    )
    assert all(source.mtime_ns != UNKNOWN for source in listed("memory://lib").sources)
    assert read("memory://lib/*.mid").keys() == {path for path in found if path.endswith("/a.mid")}
    assert read("memory://lib/other.txt") == {next(iter(found)).replace("a.mid", "other.txt"): b""}


def test_the_spool_serves_processes_that_cannot_reach_the_file(memory, read, spool):
    memory.pipe("/lib/pack.zip", zip_of({"a.mid": tune(1)}))
    memory.pipe("/lib/b.mid", tune(2))
    found = read("memory://lib")
    with get_context("spawn").Pool(1) as pool:
        assert pool.map(partial(read_source, limit=10**6, spool=spool), found) == list(found.values())


def test_file_urls_are_paths(tmp_path, read):
    path = write_old(tmp_path / "a b.mid", tune(1))
    assert read(path.as_uri()) == {str(path): tune(1)}
    assert read(tmp_path.as_uri()) == {str(path): tune(1)}


def test_addresses_that_nobody_knows(listed):
    with pytest.raises(UsageError, match="nowhere"):
        listed("nowhere://host/a.mid")
    with pytest.raises(UsageError, match="chain"):
        listed("zip://*.mid::https://host/a.zip")


@pytest.mark.parametrize(("url", "package"), [("memory://lib", "fsspec"), ("http://host/a.mid", "aiohttp")])
def test_packages_that_are_missing_are_named(listed, monkeypatch, url, package):
    monkeypatch.setitem(sys.modules, "fsspec.core" if package == "fsspec" else "aiohttp", None)
    with pytest.raises(UsageError) as caught:
        listed(url)
    assert f"pip install fsspec{' aiohttp' * (package == 'aiohttp')}" == caught.value.hint


def test_the_package_of_another_protocol_is_named(listed, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError) as caught:
        listed("s3://bucket/a.mid")
    assert caught.value.hint == "pip install s3fs"


@pytest.mark.parametrize(
    ("entry", "seconds"),
    [
        ({"mtime": 1.5e9}, 1.5e9),
        ({"Last-Modified": "Thu, 01 Jan 2015 00:00:00 GMT"}, 1420070400),
        ({"updated": "2015-01-01T00:00:00+00:00"}, 1420070400),
        ({"modified": "2015-01-01T00:00:00"}, 1420070400),
        ({"Last-Modified": "yesterday"}, UNKNOWN / 1e9),
        ({"Last-Modified": "9 of them"}, UNKNOWN / 1e9),
        ({}, UNKNOWN / 1e9),
    ],
)
def test_times_in_all_their_forms(entry, seconds):
    assert _changed_ns(entry, "") == int(seconds * 1e9)
