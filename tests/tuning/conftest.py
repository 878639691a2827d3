import pytest
from tests.support.training import write_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A small prepared data set; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("music"), pieces=12)
