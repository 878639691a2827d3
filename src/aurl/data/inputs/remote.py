"""Files on servers, by URL, as far as fsspec and what is installed beside it can reach them."""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from aurl.data.inputs.names import WANTED, is_shadow, name_of
from aurl.data.inputs.source import UNKNOWN, Refused, Source
from aurl.data.inputs.spool import Spool
from aurl.errors import AurlError, NotFoundError, UsageError
from aurl.midi.reasons import Rejected, RejectReason, printable

THREADS = 16
"""Requests at a time; a server answers each in a tenth of a second or so."""
MAX_FOLDERS = 2**16
"""A server can invent folders without end."""
CHUNK_BYTES = 2**20
CONNECT_SECONDS, SILENCE_SECONDS = 30.0, 60.0
"""How long a server may take to answer, and to send the next bytes; a whole download may take as long as it takes."""
_TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "modified", "created")
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "checksum", "sha256")
FAULT = "fault"
"""In an entry: why its folder cannot be listed."""
_PAST_NS = 10**18
"""Times that are made of a mark lie before 2001, so that they count as long settled."""


class Remote(NamedTuple):
    """A file on a server.

    Args:
        source: as any other.
        version: changes whenever the file does; empty if the server does not tell.
    """

    source: Source
    version: str


def look(url: str) -> Iterator[Remote | Refused]:
    """What is at `url`: a file, all that matters in a folder, or what a glob matches.

    Raises:
        NotFoundError: there is nothing.
        UsageError: a package is missing, or the protocol is unknown.
        AurlError: the server does not answer as it should.
    """
    files, path = _file_system(url)
    try:
        files.invalidate_cache()
        entries = _expand(files, path)
    except FileNotFoundError as error:
        raise _unreachable(url, error) from error
    except AurlError:
        raise
    except Exception as error:  # clients of every protocol raise their own
        raise AurlError(
            f"cannot list {printable(url)}: {_fault(error)}", hint="is the server up, and may you?"
        ) from error
    if not entries:
        raise NotFoundError(f"{printable(url)} matches nothing", hint="give a folder, a file or a glob")
    with ThreadPoolExecutor(THREADS if files.async_impl else 1) as threads:
        yield from threads.map(lambda entry: _described(files, entry), entries)


def fetch(url: str, spool: Spool, max_bytes: int) -> Path:
    """A local copy: the one that is there, or a new one.

    Raises:
        Rejected: it is larger than `max_bytes`.
        OSError: it cannot be had.
    """
    if held := spool.held(url):
        return held
    files, path = _file_system(url)
    try:
        described = _described(files, files.info(path))
        version = described.version if isinstance(described, Remote) else ""

        def fill(out: IO[bytes]) -> None:
            _copy(files, path, out, max_bytes)

        return spool.keep(url, version or "unknown", fill)
    except (Rejected, OSError):
        raise
    except Exception as error:  # clients of every protocol raise their own
        raise OSError(_fault(error)) from error


def _copy(files: Any, path: str, out: IO[bytes], max_bytes: int) -> None:
    options = {"block_size": 0} if _is_web(path) else {}  # one request, and not one for each block
    size = 0
    with files.open(path, "rb", **options) as file:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise Rejected(RejectReason.TOO_LARGE, f"more than {max_bytes} bytes")
            out.write(chunk)


def _file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of `url`, and the path there."""
    if "::" in url:
        raise UsageError(
            f"{printable(url)} is a chain of URLs", hint="give the archive's own URL; it is opened by itself"
        )
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - a tenth of a second, and only URLs need it

        files, path = url_to_fs(url, **_options(url))
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or "fsspec"
        extra = "fsspec aiohttp" if _is_web(url) else missing
        raise UsageError(f"{printable(url)} needs a package: {error}", hint=f"pip install {extra}") from error
    except ValueError as error:
        raise UsageError(f"{printable(url)}: {error}", hint="give a path, or a URL that fsspec knows") from error
    return files, str(path)


def _options(url: str) -> dict[str, Any]:
    if not _is_web(url):
        return {}
    from aiohttp import ClientTimeout  # noqa: PLC0415 - half a second, and only web addresses need it

    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
    return {"client_kwargs": {"timeout": timeout}}


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _expand(files: Any, path: str) -> list[Mapping[str, Any]]:
    """Entries that `path` stands for."""
    magic = "*[" if _is_web(path) else "*[?"
    if any(sign in path for sign in magic):
        matches = files.glob(path, detail=True)
        return [entry for match in matches.values() for entry in _unfolded(files, match)]
    return list(_unfolded(files, files.info(path)))


def _unfolded(files: Any, entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The file itself, or all that matters in and below a folder."""
    name = str(entry["name"])
    is_page = _is_web(name) and not name_of(name).endswith(WANTED) and entry.get("mimetype", "text/html") == "text/html"
    if entry["type"] != "directory" and not is_page:
        yield entry
        return
    pending, seen = [name], {name.rstrip("/")}
    while pending:
        folder = pending.pop()
        for inner in _listed(files, folder, first=folder == name):
            path = str(inner["name"])
            if not _is_below(path, name) or (path.rstrip("/") in seen and FAULT not in inner):
                continue
            if inner["type"] == "directory":
                seen.add(path.rstrip("/"))
                pending.append(path)
            elif FAULT in inner or (name_of(path).endswith(WANTED) and not is_shadow(path)):
                yield inner
        if len(seen) > MAX_FOLDERS:
            raise AurlError(f"{printable(name)} has more than {MAX_FOLDERS} folders", hint="give those that you want")


def _listed(files: Any, folder: str, *, first: bool) -> list[Mapping[str, Any]]:
    """Entries of one folder; where it cannot be listed, the first one apart, one entry that says so."""
    try:
        entries: list[Mapping[str, Any]] = files.ls(folder, detail=True)
    except Exception as error:
        if first:
            raise
        return [{"name": folder, "type": "file", FAULT: _fault(error)}]
    return entries


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/") and "/../" not in path


def _described(files: Any, entry: Mapping[str, Any]) -> Remote | Refused:
    """The file as a source; the server is asked again where its listing tells names alone."""
    url = files.unstrip_protocol(entry["name"])
    if FAULT in entry:
        return Refused(url, RejectReason.UNREADABLE, entry[FAULT])
    if not any(key in entry for key in (*_TIMES, *_MARKS)):
        try:
            entry = files.info(entry["name"])
        except Exception as error:  # noqa: BLE001 - clients of every protocol raise their own
            return Refused(url, RejectReason.UNREADABLE, _fault(error))
    size = entry.get("size")
    size = int(size) if size is not None else UNKNOWN
    marks = " ".join(str(entry[key]) for key in _MARKS if entry.get(key))
    changed_ns = _changed_ns(entry, marks)
    version = f"{size} {changed_ns} {marks}" if UNKNOWN not in (size, changed_ns) else ""
    return Remote(Source(url, size, changed_ns), version)


def _changed_ns(entry: Mapping[str, Any], marks: str) -> int:
    """When it was changed; a number of its own for each version where the server does not tell times."""
    for key in _TIMES:
        seconds = _seconds(entry.get(key))
        if seconds is not None:
            return int(seconds * 1e9)
    if not marks:
        return UNKNOWN
    digest = hashlib.sha256(marks.encode()).digest()
    return int.from_bytes(digest[:8], "big") % _PAST_NS


def _seconds(value: Any) -> float | None:
    """Since 1970, of a number, a time, or the text of one as HTTP and ISO 8601 have it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) else None


def _unreachable(url: str, error: FileNotFoundError) -> NotFoundError:
    cause = error.__cause__  # fsspec calls everything that a web server may do "not found"
    fault = f" ({_fault(cause)})" if cause else ""
    return NotFoundError(f"{printable(url)} is not there{fault}", hint="check the address, and that the server is up")


def _fault(error: BaseException) -> str:
    """One line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(" ".join(str(error.__cause__ or error).split()) or type(error).__name__)
