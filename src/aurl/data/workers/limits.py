"""The memory limit of a worker process."""

import logging
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # pragma: no cover - Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)
_KIBIBYTE = 1024


def data_bytes() -> int:
    """Private writable memory of this process that RLIMIT_DATA counts, in bytes; Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * _KIBIBYTE
    raise OSError("/proc/self/status has no VmData")


def limit_memory(extra_bytes: int) -> None:
    """Let this process take at most `extra_bytes` more than it has now; beyond that allocations raise MemoryError.

    RLIMIT_DATA and not RLIMIT_AS: the address space also holds what is only reserved (thread stacks, arenas, mapped
    files), 100 MiB to several GiB depending on the number of cores, so no fixed limit fits two machines. Only Linux
    counts anonymous maps in RLIMIT_DATA; elsewhere the time limit is all there is.
    """
    if sys.platform != "linux" or resource is None:
        logger.info("no memory limit for workers on %s", sys.platform)
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = data_bytes() + extra_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
