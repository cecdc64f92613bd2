"""Servers that the suites of several nouns share: they are emptied before each test."""

import pytest

from millions.testing.store import EmbeddedStore


@pytest.fixture(scope="session")
def store_servers(millions_folder):
    """A store of three servers."""
    made = EmbeddedStore(millions_folder / "store-servers")
    try:
        yield made.start()
    finally:
        made.end()
