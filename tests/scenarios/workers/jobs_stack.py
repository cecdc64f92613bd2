"""A stack whose tasks are run by the web process or by workers, changed by the command line."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from millions.runtime.ports import free_port
from millions.testing import command_line, eventually
from millions.testing.load import ask, get

if TYPE_CHECKING:
    from millions.testing.command_line import Ran

HERE = Path(__file__).parent
HOST = "127.0.0.1"
LEFT_WITHIN_S = 60

STACK_FILE = """\
# the stack of a test
[app]
name = "{name}"
web = "jobs_app:app"
migrate = "python jobs_migrate.py"

[web]
listen = "127.0.0.1:{port}"
drain_s = 5

[database]
memory_mib = 64
"""


class Jobs:
    """One stack of a test, in folders of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / name
        self.home = root / f"{name}-state"
        self.port = free_port()
        self.folder.mkdir()
        self.home.mkdir(mode=0o755)
        for each in ("jobs_app.py", "jobs_migrate.py"):
            shutil.copy(HERE / each, self.folder / each)
        self.file = self.folder / "millions.toml"
        self.file.write_text(STACK_FILE.format(name=name, port=self.port))
        self.next = 0
        self.expected: set[int] = set()

    def append(self, text: str) -> None:
        """Add tables to the stack file."""
        self.file.write_text(self.file.read_text() + text)

    def millions(self, *arguments: str, status: int | None = 0) -> Ran:
        return command_line.run(*arguments, folder=self.folder, home=self.home, status=status)

    async def command(self, *arguments: str) -> Ran:
        """Run a command while this process goes on with something else."""
        return await asyncio.to_thread(self.millions, *arguments)

    @property
    def state(self) -> Path:
        (found,) = self.home.glob(f"{self.folder.name}-*")
        return found

    def units(self) -> dict[str, dict[str, Any]]:
        status = json.loads((self.state / "status.json").read_text())
        return {unit["name"]: unit for unit in status["units"]}

    def pid(self, name: str) -> int:
        return int(self.units()[name]["pid"])

    def kill(self, name: str) -> int:
        """SIGKILL a unit; answer the process that it was."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self, unit: str) -> str:
        return "".join(
            path.read_text(errors="replace")
            for path in (self.state / "units" / unit).rglob("*log*")
            if path.is_file()
        )

    async def get(self, path: str) -> Any:
        answer = await ask(HOST, self.port, get(path)(0))
        assert answer.status == 200, answer
        return orjson.loads(answer.body)

    async def enqueue(self, task: str, count: int, *, undo: bool = False) -> list[int]:
        """Enqueue `count` tasks in one transaction, with values of their own."""
        values = list(range(self.next, self.next + count))
        self.next += count
        content = orjson.dumps({"task": task, "values": values, "undo": undo})
        head = (
            "POST /tasks HTTP/1.1\r\nhost: jobs.test\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        answer = await ask(HOST, self.port, head.encode() + content)
        assert answer.status == 201, answer
        if not undo:
            self.expected |= set(values)
        return list(orjson.loads(answer.body))

    async def enqueue_while(self, doing: asyncio.Task[Any], task: str = "note") -> int:
        """Enqueue twenty times a second until `doing` is done; answer how many transactions."""
        number = 0
        while not doing.done():
            await self.enqueue(task, 5, undo=number % 7 == 3)
            number += 1
            await asyncio.wait([doing], timeout=0.05)
        await doing
        return number

    async def none_left(self) -> None:
        """Wait until no task is left but dead letters."""

        async def done() -> bool:
            return not (await self.get("/left"))["left"]

        await eventually(done, within_s=LEFT_WITHIN_S)

    async def runs(self) -> list[tuple[int, str, int, str]]:
        """What ran: value, unit, process, release."""
        return [tuple(row) for row in await self.get("/runs")]

    async def ran_once_each(self) -> None:
        """Whether all that was committed ran, each once, and nothing else did."""
        counted = Counter(value for value, *_ in await self.runs())
        assert set(counted) == self.expected, set(counted) ^ self.expected
        assert [value for value, times in counted.items() if times != 1] == []

    def pids(self) -> list[int]:
        """Every process of the stack."""
        return command_line.processes_of(self.home, self.folder.name)
