"""Waiting, not for long, until no transaction is open on a server: new ones wait in the clients."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from millions import directory as directories
from millions.cli.moving import servers
from millions.cli.moving.servers import LOST
from millions.runtime import supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.cli.moving.servers import Connection, Server
    from millions.runtime.state import StateFolder

FOLLOWED_S = 0.5
"""By then every process has looked into the directory, which it does ten times a second."""

LOOKED_S = 0.25
"""By then a process that has no connection at this moment has looked, too."""

PUBLISHED_WITHIN_S = 10.0
"""The supervisor does it within milliseconds; one that died is started anew. Nobody waits yet."""

HEARD_WITHIN_S = 2.5
"""Processes look into the directory ten times a second, and say that they have seen that they are
to wait; on a busy machine one may take longer. One that is frozen is not waited for."""

DRAIN_S = 3.0
"""How long transactions that run may go on once new ones wait; most take milliseconds. Both bounds
and a restart are less than clients hold (`topology.HELD_LIMIT_S`)."""

CALM_S = 0.12
"""A block that chose the old server before its process heard has begun by then."""

LOOK_S = 0.01


async def published(state: StateFolder) -> bool:
    """Wait until the directory says that transactions are held; answer whether it does."""
    deadline_s = time.monotonic() + PUBLISHED_WITHIN_S
    while time.monotonic() < deadline_s:
        found = directories.read(state.directory)
        if any(shard.held for shard in found.database.shards):
            return True
        supervisor.ensure(state)
        await asyncio.sleep(LOOK_S)
    return False


async def drained(server: Server) -> None:
    """Wait until every process holds its transactions and none is open on the server."""
    await _sees(server, servers.all_heard, within_s=HEARD_WITHIN_S)
    await _sees(server, lambda each: servers.is_calm(each, CALM_S), within_s=DRAIN_S)


async def _sees(
    server: Server, question: Callable[[Connection], Awaitable[bool]], *, within_s: float
) -> None:
    """Wait, not for long, until the server says so; one that does not answer is left."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if await server.ask(question):
                return
        except LOST:
            return
        await asyncio.sleep(LOOK_S)
