"""A balancer before two servers, for one test."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from rig import Backend, Balancer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture
async def new_balancer() -> AsyncIterator[Callable[..., Awaitable[Balancer]]]:
    """Makes balancers before servers of their own; all are stopped at the end."""
    async with contextlib.AsyncExitStack() as made:

        async def make(servers: int = 2, **rules: Any) -> Balancer:
            backends = [Backend(f"web.{number}") for number in range(1, servers + 1)]
            for each in backends:
                await each.open()
                made.push_async_callback(each.close)
            balancer = Balancer(backends, **rules)
            made.callback(balancer.close)
            await balancer.start()
            return balancer

        yield make


@pytest.fixture
async def balancer(new_balancer: Callable[..., Awaitable[Balancer]]) -> Balancer:
    """A balancer with short timeouts, else as it comes."""
    return await new_balancer()
