"""A stack whose application keeps a ledger, people who write into it, and what they must find."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
import tomllib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from millions.cli.moving import record
from millions.runtime import processes, supervisor
from millions.runtime import status as statuses
from millions.runtime.ports import free_port
from millions.runtime.state import StateFolder, open_folder
from millions.testing import eventually

MILLIONS = str(Path(sys.executable).parent / "millions")
DONE_WITHIN_S = 300.0
BALANCED = 3
"""The first rung with a balancer."""

STACK = """\
# The ledger, as a person wrote it.
rung = {rung}

[app]
name = "ledger"
web = "ledger_app:app"

[{door}]
listen = "127.0.0.1:{port}"
drain_s = 3

[database]
memory_mib = 64  # little
"""


@dataclass
class Ledger:
    """One stack in a folder of its own."""

    root: Path
    port: int = field(default_factory=free_port)
    rung: int = 1
    more: str = ""
    """Tables of the stack file beside those that every ledger has."""

    def make(self) -> None:
        self.folder.mkdir(parents=True)
        door = "web" if self.rung < BALANCED else "balancer"
        text = STACK.format(rung=self.rung, door=door, port=self.port)
        self.file.write_text(text + self.more)
        shutil.copy(Path(__file__).with_name("ledger_app.py"), self.folder)

    @property
    def folder(self) -> Path:
        return self.root / "ledger"

    @property
    def file(self) -> Path:
        return self.folder / "millions.toml"

    @property
    def state(self) -> StateFolder:
        digest = hashlib.sha256(str(self.file).encode()).hexdigest()[:8]
        return open_folder(self.root / "home" / f"ledger-{digest}")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", str(self.root)),
            "MILLIONS_HOME": str(self.root / "home"),
        }

    async def millions(self, *arguments: str, status: int | None = 0) -> str:
        """What the command said; it must end with `status`."""
        process = await self.begin(*arguments)
        out, _ = await asyncio.wait_for(process.communicate(), DONE_WITHIN_S)
        assert status is None or process.returncode == status, out.decode()
        return out.decode()

    async def at_terminal(self, *arguments: str) -> str:
        """What somebody at a terminal of 120 columns saw of the command, which must end well."""
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(MILLIONS, *arguments),
            cwd=self.folder,
            env=self.environment | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = await asyncio.wait_for(asyncio.to_thread(_read_all, ours), DONE_WITHIN_S)
        assert await process.wait() == 0, seen
        return seen

    async def begin(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(MILLIONS, *arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def move(self, to: int, *arguments: str) -> dict[str, Any]:
        """Move the database; what the command answered."""
        said = await self.millions("move", "database", "--to", str(to), "--json", *arguments)
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    async def sql(self, statement: str) -> list[str]:
        return (await self.millions("sql", "--csv", statement)).splitlines()[1:]

    def settings(self) -> dict[str, Any]:
        return tomllib.loads(self.file.read_text())

    def server(self) -> int:
        return int(self.settings().get("database", {}).get("server", 1))

    def step(self) -> str | None:
        """The step at which a move stands; None while there is none."""
        found = record.read(self.state)
        return found.step.value if found else None

    def postmaster(self, server: int) -> str:
        """The number of the process that is PostgreSQL there."""
        file = self.state.unit(f"database.{server}") / "data" / "postgresql" / "postmaster.pid"
        return file.read_text().splitlines()[0]

    def pid(self, unit: str) -> int:
        """The pid of the unit's process; 0 while there is none."""
        status = statuses.read(self.state.status)
        units = status.units if status else ()
        return next((each.pid or 0 for each in units if each.name == unit), 0)

    def supervisor(self) -> int:
        return supervisor.running(self.state) or 0

    def kill(self, pid: int) -> bool:
        """SIGKILL a process and all that it started; False when it had ended by itself."""
        found = processes.identify(pid)
        killed = processes.kill_tree(found) if found is not None else ()
        assert processes.wait_gone(killed)
        return killed != ()

    def kill_alone(self, pid: int) -> None:
        """SIGKILL a process, not what it started."""
        found = processes.identify(pid)
        assert found is not None
        os.kill(pid, signal.SIGKILL)
        assert processes.wait_gone((found,))

    def primaries(self) -> list[str]:
        """The units whose data folder would start as a server that takes writes."""
        return sorted(
            path.parents[2].name
            for path in self.state.units.glob("database.*/data/postgresql/PG_VERSION")
            if not (path.parent / "standby.signal").exists()
        )


@dataclass
class People:
    """Clients who write and read without pause; each line that they write has a name of its own."""

    ledger: Ledger
    count: int = 6
    slow_s: float = 0.0
    """How long each transaction of the first of them takes."""

    mark: str = field(default_factory=lambda: secrets.token_hex(4))
    acknowledged: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0
    _last_s: float = 0.0
    _stopping: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self._last_s = time.perf_counter()
        self._tasks = [asyncio.create_task(self._write(each)) for each in range(self.count)]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int = 50) -> None:
        """Wait until so many more lines were acknowledged."""
        before = len(self.acknowledged)
        await eventually(lambda: len(self.acknowledged) > before + count, within_s=20.0)

    def new_gap(self) -> None:
        """Forget the longest gap until now."""
        self.longest_gap_s, self._last_s = 0.0, time.perf_counter()

    async def _write(self, number: int) -> None:
        base = f"http://127.0.0.1:{self.ledger.port}/lines"
        async with httpx.AsyncClient(timeout=15.0) as client:
            at = 0
            while not self._stopping:
                at += 1
                name = f"{self.mark}-{number}-{at}"
                slow = f"?s={self.slow_s}" if number == 0 and self.slow_s else ""
                if await self._ask(client, "POST", f"{base}/{name}{slow}", 201) is None:
                    continue
                self.acknowledged.append(name)
                now_s = time.perf_counter()
                self.longest_gap_s = max(self.longest_gap_s, now_s - self._last_s)
                self._last_s = now_s
                if at % 3 == 0:
                    found = await self._ask(client, "GET", f"{base}/{name}", 200)
                    if found is not None and found != "1":
                        self.missed.append(f"{name}: {found}")

    async def _ask(
        self, client: httpx.AsyncClient, method: str, url: str, wanted: int
    ) -> str | None:
        try:
            answer = await client.request(method, url)
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {type(error).__name__} {error}")
            await asyncio.sleep(0.02)
            return None
        if answer.status_code != wanted:
            self.failures.append(f"{method} {answer.status_code} {answer.text[:300]}")
            return None
        return answer.text

    async def accounts(self) -> tuple[set[str], list[str]]:
        """Acknowledged lines that are lost, and lines that are there twice."""
        found = Counter(await self.ledger.sql("SELECT name FROM lines"))
        lost = set(self.acknowledged) - found.keys()
        return lost, [name for name, count in found.items() if count > 1]


def _read_all(terminal: int) -> str:
    """All that is written to a terminal until nobody has it open any more."""
    found = b""
    with suppress(OSError):
        while part := os.read(terminal, 65_536):
            found += part
    os.close(terminal)
    return found.decode(errors="replace")
