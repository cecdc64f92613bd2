"""Runs one server of the store and keeps it: a unit.

    python -m millions.programs.keeper FOLDER

FOLDER holds `keeper.json`. When its server ends, or does not answer, it tells the others and ends;
it is then started again. Nothing of it outlives it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millions.directory import Endpoint
from millions.programs.keeper.ballots import Ballots
from millions.programs.keeper.engine import Engine
from millions.programs.keeper.member import BEAT_S, Member
from millions.programs.keeper.talk import Listener, Peer
from millions.sdk.valkey import AwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STEP_S = 0.05
STEP_WITHIN_S = 1.5
"""A server that has not answered for so long cannot lead, and is of no use to the others."""

SYNC_LOOK_S = 0.25
ASKED_WITHIN_S = 2.0
REQUEST_BYTES_MAX = 1024


class Keeper:
    """The unit at work."""

    def __init__(self, folder: Path) -> None:
        said: dict[str, Any] = json.loads((folder / "keeper.json").read_text(encoding="utf-8"))
        self._name: str = said["name"]
        password = Path(said["password_file"]).read_text(encoding="utf-8").strip()
        hosts: dict[str, str] = said["members"]
        port, talk_port = int(said["port"]), int(said["talk_port"])
        places = {name: Endpoint(host=host, port=port) for name, host in hosts.items()}
        settings = {**said["settings"], "requirepass": password, "primaryauth": password}
        own = hosts[self._name]
        self._peers = {
            name: Peer(Endpoint(host=host, port=talk_port), password, own_host=own)
            for name, host in hosts.items()
            if name != self._name
        }
        self._engine = Engine(said["program"], places[self._name], settings)
        self._member = Member(
            self._name,
            self._engine,
            Ballots(Path(said["ballots"])),
            places=places,
            others=self._peers,
        )
        self._talk = Listener(Endpoint(host=own, port=talk_port), password, self._answer)
        self._health = Endpoint(host=own, port=int(said["health_port"]))
        self._in_sync = False
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until SIGTERM, or until the server has ended; answer the exit status."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stopping.set)
        health = await asyncio.start_server(
            self._told, self._health.host, self._health.port, limit=REQUEST_BYTES_MAX
        )
        try:
            await self._engine.start()
            await self._member.say_gone()
            await self._talk.open()
            await self._keep()
        finally:
            health.close()
            self._talk.close()
            await self._engine.stop()
        return 0 if self._stopping.is_set() else 1

    async def _keep(self) -> None:
        deeds = [self._again(self._step, STEP_S), self._again(self._look, SYNC_LOOK_S)]
        deeds += [self._again(self._beating(name), BEAT_S) for name in self._peers]
        deeds += [self._engine.wait(), self._stopped()]
        tasks = [asyncio.create_task(deed) for deed in deeds]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._engine.ended:
            await self._member.say_gone()
        else:
            await self._member.retire()

    async def _stopped(self) -> None:
        await self._stopping.wait()

    async def _again(self, deed: Callable[[], Awaitable[None]], pause_s: float) -> None:
        """Do it again and again, until the server is gone or has not answered."""
        while not self._engine.ended:
            try:
                await deed()
            except AwayError as error:
                print(f"the server: {error}", flush=True)  # noqa: T201  # its log
            await asyncio.sleep(pause_s)

    async def _step(self) -> None:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(STEP_WITHIN_S):
                await self._member.step()
        except TimeoutError:
            if self._member.leads is None:
                return
            print(f"no answer for {time.monotonic() - began_s:.1f} s", flush=True)  # noqa: T201
            self._engine.kill()
            await self._engine.wait()

    async def _look(self) -> None:
        self._in_sync = await self._engine.in_sync()

    def _beating(self, name: str) -> Callable[[], Awaitable[None]]:
        async def beat() -> None:
            await self._member.beat(name)

        return beat

    async def _answer(self, said: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._member.answer(said)
        except AwayError as error:
            raise OSError(str(error)) from error  # no answer at all

    async def _told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say over HTTP whether it leads, or follows with all there is."""
        member = self._member
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                await reader.readuntil(b"\r\n\r\n")
            leads = member.readable_until_s > time.monotonic()
            good = leads or (member.hears_leader and self._in_sync)
            status = "200 OK" if good else "503 Service Unavailable"
            body = json.dumps({"leads": leads, "leader": member.leader})
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n"
                f"connection: close\r\n\r\n{body}".encode()
            )
            async with asyncio.timeout(ASKED_WITHIN_S):
                await writer.drain()
            writer.close()
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            writer.transport.abort()


if __name__ == "__main__":
    sys.exit(asyncio.run(Keeper(Path(sys.argv[1])).run()))
