"""A stack on rung 1 with cache servers, changed by the command line, and clients that check it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from millions.runtime.ports import free_port
from millions.testing import command_line, eventually
from millions.testing.load import Connection

if TYPE_CHECKING:
    import signal

HERE = Path(__file__).parent
HOST = "127.0.0.1"
NAMES = 8
READERS = 6

STACK_FILE = """\
rung = 1

[app]
name = "{name}"
web = "cached_app:app"
migrate = "python cached_migrate.py"

[web]
listen = "127.0.0.1:{port}"

[database]
memory_mib = 64

[cache]
servers = 2
memory_mib = 1
server_memory_mib = 32
"""


class CachedStack:
    """One stack of a test, in folders of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder, self.home, self.port = root / name, root / f"{name}-state", free_port()
        self.folder.mkdir()
        self.home.mkdir(mode=0o755)
        for each in ("cached_app.py", "cached_migrate.py"):
            shutil.copy(HERE / each, self.folder / each)
        self.file = self.folder / "millions.toml"
        self.file.write_text(STACK_FILE.format(name=name, port=self.port))

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def millions(self, *arguments: str, status: int | None = 0) -> str:
        return command_line.run(*arguments, folder=self.folder, home=self.home, status=status).out

    @property
    def state(self) -> Path:
        (found,) = self.home.glob(f"{self.folder.name}-*")
        return found

    def units(self) -> dict[str, dict[str, Any]]:
        status = json.loads((self.state / "status.json").read_text())
        return {unit["name"]: unit for unit in status["units"]}

    def send(self, name: str, sent: signal.Signals) -> int:
        pid = int(self.units()[name]["pid"])
        os.kill(pid, sent)
        return pid

    async def about(self) -> dict[str, Any]:
        return dict(await ask(Connection(HOST, self.port), "GET", "/about"))

    async def all_used(self, servers: int) -> None:
        """Wait until the application uses that many servers, and the directory names no more."""

        async def used() -> bool:
            found = await self.about()
            return (found["servers"], found["used"]) == (servers, servers)

        await eventually(used, within_s=30)


async def ask(connection: Connection, method: str, path: str) -> Any:
    """The JSON that is answered; an error when it is not a good answer."""
    length = "content-length: 0\r\n" if method == "POST" else ""
    request = f"{method} {path} HTTP/1.1\r\nhost: cached.test\r\n{length}\r\n"
    answer = await connection.ask(request.encode())
    assert answer.status == 200, answer
    return orjson.loads(answer.body)


class Clients:
    """Clients that let numbers grow, and read them: never less than what was acknowledged."""

    def __init__(self, stack: CachedStack) -> None:
        self._stack = stack
        self._known = [0] * NAMES
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.reads = self.writes = 0
        self.failed: list[str] = []
        self.stale: list[str] = []

    async def __aenter__(self) -> Self:
        clients = [self._write(0), self._write(1), *(self._read(n) for n in range(READERS))]
        self._tasks = [asyncio.create_task(each) for each in clients]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.wait(self._tasks, timeout=60)

    async def more(self, reads: int) -> None:
        before = self.reads
        await eventually(lambda: self.reads > before + reads, within_s=60)

    async def _write(self, which: int) -> None:
        connection, turn = Connection(HOST, self._stack.port), 0
        while not self._stopping:
            number = (turn * 2 + which) % NAMES
            turn += 1
            try:
                self._known[number] = await ask(connection, "POST", f"/numbers/n{number}")
                self.writes += 1
            except (OSError, EOFError, TimeoutError, AssertionError) as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.01)
        await connection.close()

    async def _read(self, turn: int) -> None:
        connection = Connection(HOST, self._stack.port)
        while not self._stopping:
            number = turn % NAMES
            turn += 1
            least = self._known[number]
            try:
                found = await ask(connection, "GET", f"/numbers/n{number}")
                self.reads += 1
                if found < least:
                    self.stale.append(f"n{number} is {found}, and {least} was acknowledged")
            except (OSError, EOFError, TimeoutError, AssertionError) as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.001)
        await connection.close()
