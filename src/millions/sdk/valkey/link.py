"""A link to one server, kept up for as long as it is open: connect, greet, watch, connect again.

A server that is away costs nothing: `wire` is None at once, until it has answered a greeting and
`ready` has said that it may be used. It never waits for a caller.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from millions.sdk.valkey.wire import DEADLINE_S, AwayError, Script, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.directory import Endpoint

    Ready = Callable[[Wire], Awaitable[bool]]

CONNECT_LIMIT_S = 1.0
GREETING_LIMIT_S = 1.0
READY_LIMIT_S = 5.0

FIRST_BACKOFF_S = 0.05
LAST_BACKOFF_S = 1.0
"""Pauses before connecting again double up to this, each shortened by chance by up to a half."""

LASTING_S = 5.0
"""A connection that ends sooner shortens no pause: a slow server costs its callers a wait each time
that it is taken for well."""

HEARTBEAT_S = 1.0
"""A connection over which nothing was asked for this long is asked whether it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a server is told first. `password_file` holds the password; '' for a server without."""

    password_file: str = ""
    scripts: tuple[Script, ...] = ()


class Link:
    """One server. `wire` is its connection once it may be used; None means: do without."""

    def __init__(
        self,
        place: Endpoint,
        greeting: Greeting,
        *,
        ready: Ready,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.place = place
        self.wire: Wire | None = None
        self.connected: Wire | None = None
        """The connection even before `ready` has said yes."""

        self.tried = asyncio.Event()
        """Set once it may be used, or could not be had."""

        self.losses = 0
        self.trouble = "not connected yet"
        self._greeting = greeting
        self._ready = ready
        self._deadline_s = deadline_s
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @property
    def name(self) -> str:
        """Its address, `host:port`."""
        return f"{self.place.host}:{self.place.port}"

    def open(self) -> None:
        """Begin to connect, in the background."""
        self._task = asyncio.create_task(self._run(), name=f"valkey {self.name}")

    async def close(self) -> None:
        """End the connection, and wait until it has."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def drop(self) -> None:
        """Give the connection up; a new one has to become `ready` again."""
        if self.connected is not None:
            self.connected.abort()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = FIRST_BACKOFF_S / 2
        while True:
            self._ended.clear()
            used, began_s = False, loop.time()
            try:
                used = await self._connected_once()
            except (AwayError, OSError, TimeoutError) as error:
                self.trouble = str(error) or type(error).__name__
            finally:
                self.drop()
                self.tried.set()
            self.losses += used
            lasted = used and loop.time() - began_s > LASTING_S
            backoff_s = FIRST_BACKOFF_S if lasted else min(backoff_s * 2, LAST_BACKOFF_S)
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311  # no secret

    async def _connected_once(self) -> bool:
        """Connect and stay until the connection ends; say whether it was used."""
        loop = asyncio.get_running_loop()
        make = partial(Wire, self._lost, deadline_s=self._deadline_s)
        async with asyncio.timeout(CONNECT_LIMIT_S):
            _, wire = await loop.create_connection(make, self.place.host, self.place.port)
        self.connected = wire
        async with asyncio.timeout(GREETING_LIMIT_S):
            await self._greet(wire)
        async with asyncio.timeout(READY_LIMIT_S):
            if not await self._ready(wire):
                self.trouble = "it may not be used yet"
                return False
        if self.connected is not wire:
            return False  # it ended meanwhile
        self.wire = wire
        self.trouble = ""
        self.tried.set()
        await self._beat(wire)
        return True

    async def _greet(self, wire: Wire) -> None:
        greeting = self._greeting
        hello = ["HELLO", "3"]
        if greeting.password_file:
            password = await asyncio.to_thread(Path(greeting.password_file).read_text, "utf-8")
            hello += ["AUTH", "default", password.strip()]
        told = [wire.send(*hello)]
        told += [wire.send("SCRIPT", "LOAD", script.text) for script in greeting.scripts]
        await asyncio.gather(*told)

    async def _beat(self, wire: Wire) -> None:
        """Ask now and then, so that a server that went silent is noticed without callers."""
        while self.wire is wire:
            try:
                await asyncio.wait_for(self._ended.wait(), HEARTBEAT_S)
            except TimeoutError:
                if self.wire is wire:
                    wire.send("PING")

    def _lost(self, wire: Wire) -> None:
        if self.connected is wire:
            self.connected = self.wire = None
            self.trouble = self.trouble or "the connection was lost"
            self._ended.set()
