"""Files that are old or new, never half: atomic writes, checksums, locks.

Everything is written under a temporary name in the same folder, flushed to the disk, and renamed; a process killed at
any moment leaves at most a hidden `.NAME.….tmp` that nobody reads and `remove_leftovers` clears.
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import tomli
from filelock import FileLock, Timeout

from aurl.errors import DamagedError, LockedError, NotFoundError, UsageError

MANIFEST_NAME = "manifest.sha256"
MAX_JSON_BYTES = 256 * 2**20
"""JSON that we write describes things; one larger than this was not written by us."""
MAX_TOML_BYTES = 2**20
_SHA256_DIGITS = 64


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def sync_folder(folder: Path) -> None:
    """Flush the folder's list of names to the disk, where the platform can (Windows cannot open folders)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush the file's content to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def atomic_write(path: Path, *, mode: Literal["wb", "w"] = "wb", durable: bool = True) -> Iterator[IO[Any]]:
    """A file to write to, which becomes `path` when the block ends well and disappears when it does not.

    The folder is made if need be; a symbolic link keeps pointing to the file that it names. What is not `durable`
    survives the death of the process; only `sync_file` and `sync_folder` make it survive that of the machine.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    encoding = None if "b" in mode else "utf-8"
    try:
        with temporary.open(mode.replace("w", "x"), encoding=encoding) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_bytes(path: Path, value: bytes, *, durable: bool = True) -> None:
    """Write `value` atomically."""
    with atomic_write(path, durable=durable) as file:
        file.write(value)


def link_or_copy(source: Path, path: Path) -> bool:
    """Make `path` the file `source` by a hard link, or a copy of it where there cannot be one; atomically.

    Returns:
        Whether it is the same file.

    Raises:
        FileNotFoundError: there is no `source`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        os.link(source.resolve(), temporary)
        temporary.replace(path)
    except FileNotFoundError:
        raise
    except OSError:  # another device, too many links, a file system without them: a copy fails if all else does
        with source.open("rb") as original, atomic_write(path) as file:
            shutil.copyfileobj(original, file)
        return False
    finally:
        temporary.unlink(missing_ok=True)  # a rename onto the same file leaves both names
    return True


def write_text(path: Path, value: str) -> None:
    """Write `value` atomically as UTF-8."""
    with atomic_write(path, mode="w") as file:
        file.write(value)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON.

    What UTF-8 has no bytes for, as in the name of a file that is not UTF-8, becomes an escape that JSON knows.
    """
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def _read_capped(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{path} does not exist") from None
    if len(content) > max_bytes:
        raise DamagedError(f"{path} is larger than {max_bytes:,} bytes, the most that such a file can have")
    return content


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The value in a JSON file.

    Raises:
        NotFoundError: there is no such file.
        DamagedError: it is not JSON, or larger than `max_bytes`.
    """
    try:
        return json.loads(_read_capped(path, max_bytes))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not valid JSON: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file that a person may have written.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not TOML; the message has the line.
    """
    try:
        return tomli.loads(_read_capped(path, MAX_TOML_BYTES).decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def find_upwards(name: str, start: Path) -> Path | None:
    """The nearest file called `name` in `start` or a folder above it."""
    start = start.resolve()
    return next((path for folder in (start, *start.parents) if (path := folder / name).is_file()), None)


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)


def write_manifest(folder: Path, files: Iterable[str | Path] | None = None) -> None:
    """Write `manifest.sha256` in sha256sum's format: of all files in the folder, or of `files` (relative to it)."""
    chosen = _files(folder) if files is None else [folder / file for file in files]
    lines = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in chosen]
    write_text(folder / MANIFEST_NAME, "".join(lines))


def _manifest_line(manifest: Path, line: str) -> tuple[str, str]:
    digest, _, name = line.partition("  ")
    outside = Path(name).is_absolute() or ".." in Path(name).parts
    if len(digest) != _SHA256_DIGITS or not name or outside:
        raise DamagedError(f"{manifest} has a line that is no checksum: {line[:100]!r}")
    return digest, name


def verify_manifest(folder: Path) -> tuple[str, ...]:
    """Check the folder's files against its `manifest.sha256`.

    Returns:
        The names that were checked, relative to the folder.

    Raises:
        DamagedError: the manifest is missing or unreadable, or a file is missing or differs; the message names it.
    """
    manifest = folder / MANIFEST_NAME
    try:
        lines = _read_capped(manifest, MAX_JSON_BYTES).decode().splitlines()
    except NotFoundError:
        raise DamagedError(f"{folder} has no {MANIFEST_NAME}") from None
    except UnicodeDecodeError as error:
        raise DamagedError(f"{manifest} is not text: {error}") from error
    entries = [_manifest_line(manifest, line) for line in lines]
    for digest, name in entries:
        if not (folder / name).is_file():
            raise DamagedError(f"{folder / name} is missing")
        if sha256_file(folder / name) != digest:
            raise DamagedError(f"{folder / name} differs from its checksum")
    return tuple(name for _, name in entries)


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `final` when the block ends well and disappears when it does not.

    A `final` that exists is replaced: it is moved aside first, so for an instant neither is there, but never half.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(final)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        _move_folder(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(final.parent)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(root, name))
        sync_folder(Path(root))


def _move_folder(source: Path, final: Path) -> None:
    if not final.exists():
        source.rename(final)
        return
    aside = final.rename(_temporary(final))
    try:
        source.rename(final)
    except OSError:
        aside.rename(final)
        raise
    shutil.rmtree(aside)


def remove_leftovers(folder: Path) -> int:
    """Delete what killed processes left half-written in `folder`; whoever calls holds the lock on it.

    Returns:
        How many files and folders were deleted.
    """
    leftovers = [path for path in folder.glob(".*.tmp") if path.name.startswith(".")]
    for path in leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, or fail at once; the system lets go of it however the process ends.

    Raises:
        LockedError: another process, which the message names, holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_name(f"{path.name}.holder")
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            f"{path.parent} is in use by {_read_holder(holder)}", hint="wait until it has finished, or stop it"
        ) from None
    try:
        with suppress(OSError):  # who holds it is for show: on a full disk, what makes room must still run
            write_text(holder, f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        held.release()


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        return "another process"
