"""A cache, and a data set's folder to fill it from."""

import pytest
from tests.support.datasets import make_profile

from aurl.data.cache import TokenCache
from aurl.data.prepare import recipe_of

GIBIBYTE = 2**30


@pytest.fixture
def recipe():
    return recipe_of(make_profile())


@pytest.fixture
def cache(tmp_path):
    with TokenCache(tmp_path / "cache", max_bytes=GIBIBYTE) as cache:
        yield cache


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dataset").mkdir()
    return tmp_path / "dataset"
