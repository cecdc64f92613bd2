"""Engine: the Valkey server of one member, and the few things that its keeper tells it.

It comes up following nobody, and writable by nobody. A server that does not answer in time is
killed: what it was told could otherwise take effect later, after something newer.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from millions.reconcile.election import Position
from millions.sdk.valkey import AwayError, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.directory import Endpoint

NOBODY = ("127.0.0.1", "1")
"""Who is followed by a server that follows nobody: no server ever answers there. It keeps its place
in the stream of the former leader, so that it can go on from there with the next one."""

ANSWER_WITHIN_S = 2.0
READY_WITHIN_S = 300.0
"""Reading a gigabyte of its log takes a server about ten seconds."""

STOP_WITHIN_S = 8.0
LOOK_S = 0.05
PR_SET_PDEATHSIG = 1

TERM, SEQUENCE, TERMS, LEASE = (
    "millions:term",
    "millions:sequence",
    "millions:terms",
    "millions:lease",
)
"""Names that no key of an application can have: theirs begin with d:, c: or z:."""

BEGIN_TERM = f"""#!lua flags=allow-oom
local last = redis.call('GET', '{SEQUENCE}') or '0'
redis.call('SET', '{TERM}', ARGV[1])
redis.call('SET', '{SEQUENCE}', last)
redis.call('HSET', '{TERMS}', ARGV[1], last)
redis.call('DEL', '{LEASE}')
return last
"""
"""Writes where the term begins; whoever wrote in the former one learns from it what is lost."""

RENEW = f"""#!lua flags=allow-oom
if redis.call('GET', '{TERM}') ~= ARGV[1] then return redis.error_reply('OTHERTERM') end
redis.call('SET', '{LEASE}', ARGV[2], 'PXAT', ARGV[3])
return 1
"""


class Engine:
    """One valkey-server, a child of this process that does not outlive it."""

    def __init__(self, program: str, place: Endpoint, settings: Mapping[str, str]) -> None:
        self._program = program
        self._place = place
        self._settings = settings
        self._password = settings["requirepass"]
        self._process: asyncio.subprocess.Process | None = None
        self._wire: Wire | None = None
        self._is_ready = False

    async def start(self) -> None:
        """Start it and wait until it has read its data. Raise OSError when it ends before."""
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            "-",
            stdin=asyncio.subprocess.PIPE,
            preexec_fn=partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        text = "".join(f"{name} {value}\n" for name, value in self._settings.items())
        text += f"replicaof {' '.join(NOBODY)}\n"
        assert self._process.stdin is not None  # noqa: S101  # it was asked for above
        self._process.stdin.write(text.encode())
        self._process.stdin.close()
        async with asyncio.timeout(READY_WITHIN_S):
            while not await self._answers():
                if self._process.returncode is not None:
                    raise OSError(f"valkey-server ended with {self._process.returncode}")
                await asyncio.sleep(LOOK_S)
        self._is_ready = True

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self._process is None or self._process.returncode is not None

    async def wait(self) -> None:
        """Wait until it has ended."""
        if self._process is not None:
            await self._process.wait()

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Let it end, and kill it when it does not; gone afterwards."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def position(self) -> Position:
        """How far its data goes."""
        term, sequence = await self._tell("MGET", TERM, SEQUENCE)
        return Position(term=int(term or 0), sequence=int(sequence or 0))

    async def fence(self) -> None:
        """Take writes from nobody any more, and let nobody take this for the leader."""
        if (await self._tell("ROLE"))[0] == b"master":
            await self._tell("DEL", LEASE)
        await self._tell("REPLICAOF", *NOBODY)

    async def follow(self, leader: Endpoint) -> None:
        """Take what the leader has and writes, unless it does so already."""
        found = await self._tell("ROLE")
        if found[0] == b"slave" and (found[1], found[2]) == (leader.host.encode(), leader.port):
            return
        if found[0] == b"master":
            await self.fence()
        await self._tell("REPLICAOF", leader.host, str(leader.port))

    async def in_sync(self) -> bool:
        """Whether it follows somebody and has all that one had."""
        found = await self._tell("ROLE")
        return bool(found[0] == b"slave" and found[3] == b"connected")

    async def lead(self, term: int) -> None:
        """Begin to take writes, in a new term."""
        await self._tell("REPLICAOF", "NO", "ONE")
        await self._tell("EVAL", BEGIN_TERM, "0", str(term))

    async def kept_by(self, others: int, within_ms: int) -> bool:
        """Whether all that was told here is on the disks of this and so many `others`."""
        if others:
            await self._tell("WAIT", str(others), str(within_ms))  # WAITAOF alone takes a second
        found = await self._tell("WAITAOF", "1", str(others), str(within_ms))
        return int(found[0]) >= 1 and int(found[1]) >= others

    async def renew(self, term: int, until_ms: int) -> None:
        """Let it be read as the leader of `term` until then (unix milliseconds)."""
        name = f"{term}@{self._place.host}:{self._place.port}"
        await self._tell("EVAL", RENEW, "0", str(term), name, str(until_ms))

    async def _answers(self) -> bool:
        try:
            if self._wire is None:
                loop = asyncio.get_running_loop()
                make = partial(Wire, self._lost, deadline_s=ANSWER_WITHIN_S)
                place = self._place
                _, self._wire = await loop.create_connection(
                    make, place.host, place.port, local_addr=(place.host, 0)
                )
                await self._wire.send("HELLO", "3", "AUTH", "default", self._password)
            await self._wire.send("DBSIZE")  # refused while it reads its data
        except (OSError, AwayError):
            return False
        return True

    async def _tell(self, *parts: str) -> Any:
        """Tell it something. Raise AwayError; it is killed when it does not answer."""
        wire = self._wire
        if wire is None:
            self.kill()
            raise AwayError("the server of this member does not answer")
        return await wire.send(*parts)

    def _lost(self, wire: Wire) -> None:
        if self._wire is wire:
            self._wire = None
            if self._is_ready:
                self.kill()
