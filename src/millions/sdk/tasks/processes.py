"""Runs tasks that compute, each in a process of its own that this one keeps for the next.

A process can be ended, whatever it does: so its time limit holds inside a call into C, and one that
crashes or takes all memory fails its own task only. What passes is the row's text, never a pickle.
Source: the `exec` children of Celery's prefork pool, without its shared state.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

import orjson

from millions.errors import TaskError
from millions.sdk.tasks.codec import BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from millions.sdk.tasks.claim import Claim
    from millions.sdk.tasks.registry import AnyTask

    Report = Callable[[float, str], None]

LINE_MAX = 4 * BYTES_MAX
"""Arguments, or a result, as one line of JSON."""

ENDS_WITHIN_S = 1.0
GONE_WITHIN_S = 5.0
PROGRAM = "millions.sdk.tasks.child"


class RaisedInProcessError(Exception):
    """The task raised there; `str` is its traceback, `kind` the name of its exception's class."""

    def __init__(self, traceback: str, kind: str) -> None:
        super().__init__(traceback)
        self.kind = kind


class _Child:
    """One process and the connection to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer

    async def fate(self) -> int:
        """Answer the exit status of one that closed its connection, and so ends by itself.

        A signal would reap it beside asyncio's own wait, which then knows no status and says 255.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), ENDS_WITHIN_S)
        return await self.end()

    async def end(self) -> int:
        """Kill it; answer its exit status."""
        if self.process.returncode is None:
            self.process.kill()
        self.writer.close()
        return await asyncio.wait_for(self.process.wait(), GONE_WITHIN_S)


class Processes:
    """At most `size` at work. They start when first needed and idle between tasks."""

    def __init__(self, size: int) -> None:
        self._room = asyncio.Semaphore(size)
        self._idle: list[_Child] = []

    async def run(self, task: AnyTask, claim: Claim, report: Report) -> str:
        """Run one attempt; answer its result as the text of a row. Cancelling kills its process.

        Raise RaisedInProcessError for what the task raised, TaskError when the process died.
        """
        async with self._room:
            child = self._idle.pop() if self._idle else await _start()
            try:
                text = await _converse(child, task, claim, report)
            except RaisedInProcessError:
                self._idle.append(child)
                raise
            except BaseException:
                await child.end()
                raise
            self._idle.append(child)
            return text

    def close(self) -> None:
        """End the processes that idle: they do when their connection is closed."""
        while self._idle:
            self._idle.pop().writer.close()


async def _start() -> _Child:
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", PROGRAM, str(theirs.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_MAX)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return _Child(process, reader, writer)


async def _converse(child: _Child, task: AnyTask, claim: Claim, report: Report) -> str:
    asked = {
        "module": task.place[0],
        "name": task.place[1],
        "arguments": claim.arguments,
        "claim": (claim.id, claim.name, claim.attempt, claim.key, claim.request_id),
    }
    child.writer.write(orjson.dumps(asked) + b"\n")
    while line := await _line(child):
        said: dict[str, Any] = orjson.loads(line)
        if "progress" in said:
            report(said["progress"], said["words"])
        elif "error" in said:
            raise RaisedInProcessError(said["error"], said["kind"])
        else:
            return str(said["result"])
    raise TaskError(
        cannot=f"finish task {claim.name} ({claim.id})",
        because=f"its process ended: {_said(await child.fate())}",
        try_="its own log lines above; less memory, or an argument that it can bear",
    )


async def _line(child: _Child) -> bytes:
    try:
        return await child.reader.readline()
    except ConnectionError:
        return b""


def _said(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
