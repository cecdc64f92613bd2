"""Web processes that share a folder of files: which of them moves files, and which file now."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from stored import APPLICATION

from millions.runtime.ports import free_port
from millions.sdk import files_guard, files_moving
from millions.testing import eventually
from millions.testing.postgres import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    import asyncpg

    from millions.directory import Directory

READY_WITHIN_S = 30.0
CAUGHT_WITHIN_S = 60.0
ANSWER_WITHIN_S = 30.0
LOOK_S = 0.002
MOVER = """
SELECT client_port FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objid = $1 AND datname = current_database()
"""


@dataclass(slots=True, kw_only=True)
class Web:
    """One web process; its answers are those of `stored.APPLICATION`."""

    running: subprocess.Popen[bytes]
    port: int
    log: Path

    def signal(self, number: signal.Signals) -> None:
        self.running.send_signal(number)

    def ports(self) -> set[int]:
        """The local ports of its TCP connections."""
        ours = set()
        for each in Path(f"/proc/{self.running.pid}/fd").iterdir():
            with suppress(OSError):
                ours.add(str(each.readlink()))
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        found = [line.split() for line in lines]
        return {int(each[1].split(":")[1], 16) for each in found if f"socket:[{each[9]}]" in ours}


@dataclass(slots=True, kw_only=True)
class Webs:
    """Several of them; `content` is what they took, by name."""

    root: Path
    directory: Directory
    running: list[Web] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.directory.files.folder)

    def announce(self, directory: Directory) -> None:
        """Let every process follow another directory."""
        self.directory = directory
        written = self.root / "directory.new"
        written.write_text(directory.text())
        written.replace(self.root / "directory.json")

    async def start(self, number: int) -> None:
        """Start so many more, and wait until they answer."""
        (self.root / "application.py").write_text(APPLICATION)
        begun = [self._start() for _ in range(number)]
        self.running += begun
        for each in begun:
            await eventually(lambda each=each: answers(each), within_s=READY_WITHIN_S)

    def _start(self) -> Web:
        port, log = free_port(), self.root / f"web-{len(list(self.root.glob('web-*')))}.log"
        known = {
            "MILLIONS_DIRECTORY": str(self.root / "directory.json"),
            "MILLIONS_PRIVATE": f"{HOST}:{free_port()}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with log.open("wb") as output:
            running = subprocess.Popen(
                [
                    *(sys.executable, "-m", "millions.sdk.server", "application:app"),
                    *("--bind", f"{HOST}:{port}"),
                ],
                cwd=self.root,
                env={**os.environ, **known},
                stdout=output,
                stderr=output,
            )
        return Web(running=running, port=port, log=log)

    def stop(self) -> None:
        for each in self.running:
            each.running.kill()
            each.running.wait(10)

    async def put(self, name: str, content: bytes) -> None:
        """Store a file through the first process."""
        async with self.client(self.running[0]) as client:
            answer = await client.put(f"/{name}", content=content)
        assert answer.status_code == 200, answer.text
        self.content[name] = content

    def client(self, web: Web) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://{HOST}:{web.port}", timeout=ANSWER_WITHIN_S, trust_env=False
        )

    def being_copied(self) -> str:
        """The name that a process holds alone; '' when there is none."""
        handle = os.open(self.folder / files_guard.LOCKS, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            for name in self.content:
                byte = files_guard._byte(name)
                if not files_guard._locked(handle, byte, 1, files_guard.fcntl.F_RDLCK):
                    return name
        finally:
            os.close(handle)
        return ""

    async def mover(self, connection: asyncpg.Connection) -> Web | None:
        """Which of them moves files now."""
        port = await connection.fetchval(MOVER, files_moving.LOCK)
        return next((each for each in self.running if port in each.ports()), None)

    async def frozen_while(
        self, connection: asyncpg.Connection, point: Callable[[str], bool]
    ) -> tuple[Web, str]:
        """Freeze the one that moves, at a file of which `point` holds then; it and the file."""
        async with asyncio.timeout(CAUGHT_WITHIN_S):
            while True:
                await asyncio.sleep(LOOK_S)
                web = await self.mover(connection)
                if web is None or not self.being_copied():
                    continue
                web.signal(signal.SIGSTOP)
                name = self.being_copied()
                if name and await asyncio.to_thread(point, name):
                    return web, name
                web.signal(signal.SIGCONT)

    def kill(self, web: Web) -> None:
        self.running.remove(web)
        web.running.kill()
        web.running.wait(10)

    async def differing(self) -> list[str]:
        """What any process gives otherwise than it was stored."""
        found = []
        for web in self.running:
            async with self.client(web) as client:
                for name, content in self.content.items():
                    answer = await client.get(f"/{name}")
                    if answer.status_code != 200 or answer.content != content:
                        found.append(f"{name}: {answer.status_code} {answer.content[:80]!r}")
        return found


async def answers(web: Web) -> bool:
    assert web.running.poll() is None, web.log.read_text()
    with suppress(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"http://{HOST}:{web.port}/nothing")
            return True
    return False


class Reading:
    """Reads every file again and again, from each process that lives; `failed` says which not."""

    def __init__(self, webs: Webs) -> None:
        self.failed: list[str] = []
        self.count = 0
        self._webs = webs
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    async def _run(self, web: Web) -> None:
        async with self._webs.client(web) as client:
            while not self._ended and web in self._webs.running:
                for name, content in list(self._webs.content.items()):
                    try:
                        answer = await client.get(f"/{name}")
                    except httpx.TransportError as error:
                        if web in self._webs.running:
                            self.failed.append(f"{name}: {error!r}")
                        return
                    self.count += 1
                    if answer.status_code != 200 or answer.content != content:
                        self.failed.append(f"{name}: {answer.status_code}")
                    await asyncio.sleep(LOOK_S)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._run(each)) for each in self._webs.running]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        await asyncio.gather(*self._tasks)
