"""A TCP relay before a real server: cuts connections at COMMIT, or keeps an answer back."""

from __future__ import annotations

import asyncio
import sys
from enum import Enum
from typing import TYPE_CHECKING, Self

from millions.testing import eventually

if TYPE_CHECKING:
    from millions.directory import Endpoint

COMMIT = b"COMMIT\x00"


class Cut(Enum):
    NEVER = "never"
    BEFORE_COMMIT_ARRIVES = "before"
    BEFORE_COMMIT_IS_ANSWERED = "after"


class Relay:
    """Listens on a port of its own; `cut` and `stall` may be changed at any time.

    After `cuts` cuts it cuts no more. Once a message holds `stall`, its connection gets no answer
    until `stall` is emptied.
    """

    def __init__(self, target: Endpoint) -> None:
        self.target = target
        self.cut = Cut.NEVER
        self.cuts = sys.maxsize
        self.stall = b""
        self.stalled = 0
        self.port = 0
        self._swallowed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far, forth = await asyncio.open_connection(self.target.host, self.target.port)
        deaf = asyncio.Event()
        answers = asyncio.ensure_future(self._answers(far, back, deaf))
        try:
            await self._questions(near, forth, deaf)
        finally:
            answers.cancel()
            for writer in (forth, back):
                writer.close()
            self._tasks.discard(task)

    async def _questions(
        self, near: asyncio.StreamReader, forth: asyncio.StreamWriter, deaf: asyncio.Event
    ) -> None:
        while data := await near.read(65536):
            if COMMIT in data and self.cut is not Cut.NEVER and self.cuts:
                self.cuts -= 1
                if self.cut is Cut.BEFORE_COMMIT_ARRIVES:
                    return
                if self.cut is Cut.BEFORE_COMMIT_IS_ANSWERED:
                    deaf.set()
            if self.stall and self.stall in data:
                self.stalled += 1
            forth.write(data)
            await forth.drain()
            if deaf.is_set():
                await asyncio.wait_for(self._swallowed.wait(), 10)
                return

    async def _answers(
        self, far: asyncio.StreamReader, back: asyncio.StreamWriter, deaf: asyncio.Event
    ) -> None:
        while data := await far.read(65536):
            if deaf.is_set():
                self._swallowed.set()
                return
            if self.stalled:
                await eventually(lambda: not self.stall)
                self.stalled = 0
            back.write(data)
            await back.drain()
        back.close()
