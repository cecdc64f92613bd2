"""One edge for the tests of a module, before an application that each test tells what to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio
from edge_rig import Origin, Varnish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def origin() -> AsyncIterator[Origin]:
    made = Origin()
    await made.open()
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(origin: Origin) -> AsyncIterator[Varnish]:
    made = Varnish(origin)
    try:
        await made.start()
        yield made
    finally:
        made.close()
