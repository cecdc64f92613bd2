"""A stack with a balancer, web servers and, once it is told so, a store; and users of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import asyncpg

from millions.cli import changing, releasing
from millions.cli.opened import Opened
from millions.cli.opened import read as read_stack
from millions.cli.progress import Progress
from millions.cli.running import release_of
from millions.directory import read as read_directory
from millions.runtime import processes
from millions.runtime.belonging import members as members_of
from millions.runtime.pools import Control
from millions.runtime.ports import free_port
from millions.runtime.state import StateFolder, open_folder
from millions.sdk.store.progress import unmoved
from millions.testing import eventually
from millions.testing.load import Connection, get
from millions.tiers.haproxy import BACKEND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from millions.runtime.processes import Identity

HERE = Path(__file__).parent
MILLIONS = str(Path(sys.executable).parent / "millions")
HOST = "127.0.0.1"
DONE_WITHIN_S = 110
WITHIN_S = 90
CONNECTIONS = 5

STACK_FILE = """\
rung = 3

[app]
name = "store"
web = "store_app:app"

[web]
servers = 2
drain_s = 15
canary_s = 0

[balancer]
listen = "127.0.0.1:{port}"
drain_s = 15

[database]
memory_mib = 64
"""
STORE = "\n[store]\nservers = 3\nmemory_mib = 64\n"


@dataclass(slots=True, kw_only=True)
class Site:
    """A stack in folders of its own."""

    root: Path
    port: int = field(default_factory=free_port)

    def make(self) -> None:
        self.folder.mkdir(parents=True)
        shutil.copy(HERE / "store_app.py", self.folder / "store_app.py")
        self.file.write_text(STACK_FILE.format(port=self.port))

    @property
    def folder(self) -> Path:
        return self.root / "store"

    @property
    def file(self) -> Path:
        return self.folder / "millions.toml"

    @property
    def state(self) -> StateFolder:
        (found,) = (self.root / "home").glob("store-*")
        return open_folder(found)

    def millions(self, *arguments: str, status: int | None = 0) -> str:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        ran = subprocess.run(
            [MILLIONS, *arguments],
            cwd=self.folder,
            env=kept | {"MILLIONS_HOME": str(self.root / "home")},
            capture_output=True,
            text=True,
            timeout=DONE_WITHIN_S,
            check=False,
        )
        assert status is None or ran.returncode == status, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def end(self) -> None:
        """Stop it and prove that nothing is left."""
        self.millions("down", status=None)
        assert members_of(self.state) == ()

    def units(self) -> dict[str, dict[str, Any]]:
        status = json.loads(self.state.status.read_text())
        return {unit["name"]: unit for unit in status["units"]} if status["settled"] else {}

    def identity(self, name: str) -> Identity:
        found = processes.identify(int(self.units()[name]["pid"]))
        assert found is not None
        return found

    def kill(self, name: str) -> None:
        """SIGKILL every process of a unit at once."""
        processes.kill_tree(self.identity(name))

    def freeze(self, name: str) -> list[int]:
        """Freeze every process of a unit; which those are."""
        keeper = self.identity(name)
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
        frozen = [keeper.pid, *map(int, children)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        return frozen

    def store_leader(self) -> str:
        """The unit that leads the store; '' when none does."""
        for name, unit in self.units().items():
            if name.startswith("store."):
                host = unit["address"].partition(":")[0]
                asked = subprocess.run(
                    ["/usr/bin/curl", "-s", "-m", "2", f"http://{host}:6381/health"],
                    capture_output=True,
                    check=False,
                )
                if asked.stdout and json.loads(asked.stdout)["leads"]:
                    return name
        return ""

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncGenerator[asyncpg.Connection[Any]]:
        """A connection to the database of the stack."""
        place = read_directory(self.state.directory).database
        primary = place.shards[0].primary
        password = await asyncio.to_thread(Path(place.password_file).read_text)
        connection = await asyncpg.connect(
            host=primary.host,
            port=primary.port,
            database=place.name,
            user=place.user,
            password=password.strip(),
            timeout=5,
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def moved(self, *, to_servers: bool) -> bool:
        """Whether all of the store is proven to be on the servers, or in the tables again."""
        async with self.database() as connection:
            return await unmoved(connection, to_servers=to_servers) == 0

    def let_go(self) -> None:
        """Roll out that the store is leaving, with the release that runs (blocking)."""
        stack = dataclasses.replace(read_stack(self.file), leaving=frozenset({"store"}))
        opened = Opened(file=self.file, stack=stack, state=self.state)
        current = changing.current(self.state)
        assert current is not None
        with changing.alone(self.state):
            releasing.roll_out(opened, release_of(current), Progress(silent=True))

    async def settled(self, *, without: int = 0) -> None:
        """Wait until every unit is ready, none of them by the process `without`."""

        def well() -> bool:
            units = self.units().values()
            return bool(units) and all(
                unit["phase"] == "ready" and unit["pid"] != without for unit in units
            )

        await eventually(well, within_s=WITHIN_S)

    async def shared(self) -> None:
        """Wait until the balancer has seen, too, that every web server takes requests."""
        control = Control(path=str(self.state.run / "balancer.1.sock"), backend=BACKEND)

        async def well() -> bool:
            return all(each.takes for each in (await control.seen()).servers)

        await eventually(well, within_s=WITHIN_S)


@dataclass(slots=True)
class User:
    """One user: the cookie of the browser, and what it knows of its session."""

    name: str
    cookie: str = ""
    last: int = 0
    counted: int = 0


class Users:
    """Users who log in once and then go on for as long as the block lasts."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        some = secrets.token_hex(4)  # nobody has been here before
        self.users = [User(f"user-{some}-{n}") for n in range(number)]
        self.steps = 0
        self.troubles: list[str] = []
        self.pids: set[int] = set()
        self.unanswered = 0
        self.surplus = 0
        self._ends = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        connection = Connection(HOST, self._site.port)
        for user in self.users:
            request = get(f"/login?user={user.name}")(0)
            answer = await connection.ask(request)
            assert answer.status == 200, answer
            user.cookie = dict(answer.headers)["set-cookie"].partition(";")[0]
        await connection.close()
        self._tasks = [asyncio.create_task(self._go_on(n)) for n in range(CONNECTIONS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends = True
        await asyncio.gather(*self._tasks)
        if self.troubles:
            print(self._site.millions("logs", "--level", "info", status=None)[-60_000:])  # noqa: T201
        assert not self.troubles, self.troubles

    async def more(self, steps: int = 150) -> None:
        """Wait until much more was done."""
        goal = self.steps + steps
        await eventually(lambda: self.steps >= goal or bool(self.troubles), within_s=WITHIN_S)
        assert not self.troubles, self.troubles

    async def _go_on(self, number: int) -> None:
        connection = Connection(HOST, self._site.port)
        mine = self.users[number::CONNECTIONS]
        while not self._ends and not self.troubles:
            for user in mine:
                await self._step(connection, user)
        await connection.close()

    async def _step(self, connection: Connection, user: User) -> None:
        """One request, which must find the session as the last one left it."""
        n = user.last + 1
        header = f"cookie: {user.cookie}\r\n"
        try:
            answer = await connection.ask(get(f"/step?n={n}", headers=header)(0))
            said = json.loads(answer.body) if answer.status == 200 else {}
            is_whole = said.get("user") == user.name and said["last"] in (user.last, n)
            if not is_whole or said["feed"] != n or not self._is_counted(user, said["count"]):
                self.troubles.append(f"{user}: {answer.status} {said}")
                return
        except (OSError, EOFError, TimeoutError) as error:
            self.troubles.append(f"{user}: {error!r}")
            return
        user.last = n
        user.counted = said["count"] or user.counted
        self.steps += 1
        self.pids.add(said["pid"])

    def _is_counted(self, user: User, count: int | None) -> bool:
        """Whether a count is one more, or more by what may have been counted without an answer."""
        if count is None:
            self.unanswered += 1
            return True
        self.surplus += count - user.counted - 1
        return count > user.counted
