import pytest

from tests.contract import live as living


@pytest.fixture(scope="session")
def live(tmp_path_factory):
    """One running instance for all tests of a worker; each test makes its own account in it."""
    with living.instance(tmp_path_factory.mktemp("live")) as instance:
        yield instance
