"""What all tests of the room need: a spool of their own, and short ways to list and read."""

import pytest

from aurl.data.inputs import find, read_source


@pytest.fixture
def spool(tmp_path_factory):
    return tmp_path_factory.mktemp("spool")


@pytest.fixture
def listed(spool):
    def listed(*paths, max_bytes=10**6):
        return find(paths, spool=spool, max_bytes=max_bytes)

    return listed


@pytest.fixture
def contents(spool, listed):
    """Paths → {what stands behind the container's name: its bytes}."""

    def contents(*paths):
        return {
            source.path.rpartition("!/")[2]: read_source(source.path, 10**7, spool=spool)
            for source in listed(*paths).sources
        }

    return contents


@pytest.fixture
def refusals(listed):
    """Paths → {what stands behind the container's name: reason}; a container's own is under ""."""

    def refusals(*paths):
        return {path.partition("!/")[2]: reason for path, reason, _ in listed(*paths).refused}

    return refusals
