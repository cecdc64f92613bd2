"""A balancer before two servers for one test; a whole stack for the tests of a module."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rig import Backend, Balancer
from site_stack import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


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


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A short folder that the units' user may enter: unix sockets have short paths."""
    folder = Path(tempfile.mkdtemp(prefix="millions-site-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def new_site(root: Path) -> Iterator[Callable[[str], Site]]:
    """Makes stacks by name; they are stopped at the end, and nothing of them is left."""
    made: list[Site] = []

    def make(name: str) -> Site:
        made.append(Site(root, name))
        return made[-1]

    yield make
    for each in made:
        each.millions("down", status=None)
        assert each.pids() == []


@pytest.fixture(scope="module")
def site(new_site: Callable[[str], Site]) -> Site:
    """A stack with a balancer and two web servers, which is up."""
    made = new_site("shop")
    made.millions("up", "--detach")
    return made
