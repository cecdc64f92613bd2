"""A server whose answers come late: a real one behind a relay that keeps each part back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.directory import Endpoint
from millions.testing.postgres import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Slow:
    """Where it is, and how late its answers come from now on."""

    place: Endpoint
    late_s: float


@asynccontextmanager
async def slow(to: Endpoint, late_s: float) -> AsyncIterator[Slow]:
    """Stand before `to`, and hand on each part of what it answers `late_s` later."""
    passing: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        passing.add(task)
        theirs, ours = await asyncio.open_connection(to.host, to.port)

        async def back() -> None:
            while part := await theirs.read(1 << 16):
                await asyncio.sleep(made.late_s)  # sleeps: what is tried
                writer.write(part)
                await writer.drain()

        answering = asyncio.create_task(back())
        try:
            while part := await reader.read(1 << 16):
                ours.write(part)
                await ours.drain()
        except OSError:
            pass  # whoever asked has gone
        finally:
            answering.cancel()
            ours.close()
            writer.close()
            passing.discard(task)

    server = await asyncio.start_server(pass_on, HOST, 0)
    host, port = server.sockets[0].getsockname()
    made = Slow(Endpoint(host=host, port=port), late_s)
    try:
        yield made
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
