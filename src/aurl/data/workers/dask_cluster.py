"""A dask.distributed cluster, as much of it as we use; whatever goes wrong with it is an `AurlError` of one line."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import aurl
from aurl.errors import AurlError, UsageError
from aurl.midi.reasons import printable

ADDRESS = re.compile(r"(tcp|tls)://([^\s:/]+|\[[\da-fA-F:.]+\]):\d{1,5}")
CONNECT_SECONDS = 10.0
COUNT_SECONDS = 1.0
"""How often the cluster is asked how many threads it has."""
POLL_SECONDS = 0.05
LOST_WORKER = object()
"""Instead of a result: too many workers in a row were lost with this task."""


class DaskCluster:
    """A connection to a scheduler.

    Args:
        address: of the scheduler, such as `tcp://host:8786`.
        patience_seconds: how long the cluster may be without any worker.

    Raises:
        UsageError: dask.distributed is not installed, or the address is none.
        AurlError: the scheduler is out of reach.
    """

    def __init__(self, address: str, *, patience_seconds: float) -> None:
        if not ADDRESS.fullmatch(address):
            raise UsageError(f"{printable(address)} is no address of a dask scheduler", hint="as in tcp://host:8786")
        try:
            dask: Any = import_module("distributed")
        except ImportError as error:
            raise UsageError("a cluster needs dask.distributed", hint="pip install 'aurl[dask]'") from error
        if address.startswith("tls"):
            _require_certificates(dask, address)
        self._address = address
        self._patience = patience_seconds
        try:
            self._client = dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="aurl")
        except OSError as error:
            hint = f"is it running? dask scheduler; then: dask worker {address}"
            raise AurlError(f"no dask scheduler answers at {address}", hint=hint) from error
        self._completed = dask.as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        self._killed = dask.KilledWorker
        self._is_lost = False
        self._threads, self._counted, self._seen = 0, 0.0, time.monotonic()

    def close(self) -> None:
        """Let go of the cluster; what was not begun never will be."""
        with suppress(Exception):
            self._client.close()

    def threads(self) -> int:
        """Threads of all workers, at most `COUNT_SECONDS` ago.

        Raises:
            AurlError: there has been none for too long.
        """
        now = time.monotonic()
        if not self._threads or now > self._counted + COUNT_SECONDS:
            with self._reaching():
                self._threads = sum(self._client.nthreads().values())
            self._counted = now
        if self._threads:
            self._seen = now
        elif now > self._seen + self._patience:
            raise AurlError(f"no worker has joined {self._address}", hint=f"start one: dask worker {self._address}")
        return self._threads

    def wait_for_worker(self) -> None:
        """Wait until there is one.

        Raises:
            AurlError: none has joined for too long.
        """
        while not self.threads():
            time.sleep(POLL_SECONDS)

    def require(self, module: str) -> None:
        """Make sure that all workers can import the module, without which they cannot say what is wrong.

        Raises:
            AurlError: one cannot.
        """
        self.tell(resolve_name, f"{module}:__name__")

    def tell(self, function: Callable[..., Any], *args: Any) -> None:
        """Call the function in all workers.

        Raises:
            AurlError: it raised one, or aurl is not installed there.
        """
        with self._reaching():
            answers = self._client.run(function, *args, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, Exception) and not isinstance(answer, OSError):  # OSError: it has left by now
                raise self._explained(answer, f"the dask worker {address}")

    def submit(self, function: Callable[..., Any], *args: Any) -> str:
        """Have a worker call the function, which returns no tuple; returns the key of its result."""
        with self._reaching():
            future = self._client.submit(function, *args, pure=False)
            self._completed.add(future)
        return str(future.key)

    def ready(self) -> Iterator[tuple[str, Any]]:
        """Keys and results that have come in since the last call; `LOST_WORKER` where workers were lost.

        Raises:
            AurlError: the scheduler was lost, or a worker cannot do what it is given.
        """
        for future, result in self._completed.next_batch(block=False):
            if isinstance(result, BaseException):
                raise self._lost(result)
            _, error, _ = result if isinstance(result, tuple) else (None, None, None)
            if error is not None and not isinstance(error, self._killed):
                raise self._explained(error, f"a worker of {self._address}")
            yield future.key, result if error is None else LOST_WORKER

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        if self._is_lost:  # each call would try again for many seconds
            raise self._lost(ConnectionError("it was lost before"))
        try:
            yield
        except Exception as error:  # which one depends on dask's version and on the transport
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> AurlError:
        self._is_lost = True
        hint = "run the same command again: it goes on where it stopped"
        return AurlError(f"lost the dask scheduler at {self._address}: {_line(error)}", hint=hint)

    def _explained(self, error: BaseException, worker: str) -> AurlError:
        if isinstance(error, AurlError):
            return error
        if isinstance(error, ImportError):
            message = f"{worker} cannot import aurl: {_line(error)}"
            return AurlError(message, hint=f"install aurl {aurl.__version__} for all workers, and start them again")
        return AurlError(f"{worker} failed: {type(error).__name__}: {_line(error)}", hint="see the worker's own log")


def _require_certificates(dask: Any, address: str) -> None:
    hint = "set distributed.comm.tls.ca-file, client.cert and client.key in dask's configuration"
    try:
        found = dask.Security().get_connection_args("client").get("ssl_context")
    except OSError as error:
        raise UsageError(f"the certificates for {address} cannot be read: {_line(error)}", hint=hint) from error
    if found is None:
        raise UsageError(f"there are no certificates for {address}", hint=hint)


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
