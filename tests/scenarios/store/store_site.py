"""A stack with a balancer, web servers and, once it is told so, a store; and users of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from millions.runtime import processes
from millions.runtime.belonging import members as members_of
from millions.runtime.state import StateFolder, open_folder
from millions.testing import eventually
from millions.testing.load import Connection, get
from millions.testing.postgres import free_port

if TYPE_CHECKING:
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
drain_s = 5
canary_s = 0

[balancer]
listen = "127.0.0.1:{port}"
drain_s = 5

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

    def tables(self) -> list[str]:
        """Which tables of the store are in the database."""
        directory = json.loads(self.state.directory.read_text())
        place = directory["database"]
        primary = place["shards"][0]["primary"]
        password = Path(place["password_file"]).read_text().strip()
        asked = "SELECT tablename FROM pg_tables WHERE tablename LIKE '%documents'"
        with psycopg.connect(
            f"host={primary['host']} port={primary['port']} dbname={place['name']} "
            f"user={place['user']} password={password} connect_timeout=5"
        ) as connection:
            return [name for (name,) in connection.execute(asked).fetchall()]

    async def settled(self, *, without: int = 0) -> None:
        """Wait until every unit is ready, none of them by the process `without`."""

        def well() -> bool:
            units = self.units().values()
            return bool(units) and all(
                unit["phase"] == "ready" and unit["pid"] != without for unit in units
            )

        await eventually(well, within_s=WITHIN_S)


@dataclass(slots=True)
class User:
    """One user: the cookie of the browser, and what it knows of its session."""

    name: str
    cookie: str = ""
    last: int = 0


class Users:
    """Users who log in once and then go on for as long as the block lasts."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self.users = [User(f"user-{n}") for n in range(number)]
        self.steps = 0
        self.troubles: list[str] = []
        self.pids: set[int] = set()
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
        assert self.troubles == []

    async def more(self, steps: int = 150) -> None:
        """Wait until much more was done."""
        goal = self.steps + steps
        await eventually(lambda: self.steps >= goal or bool(self.troubles), within_s=WITHIN_S)
        assert self.troubles == []

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
            if said.get("user") != user.name or said["last"] not in (user.last, n):
                self.troubles.append(f"{user}: {answer.status} {said}")
                return
        except (OSError, EOFError, TimeoutError) as error:
            self.troubles.append(f"{user}: {error!r}")
            return
        user.last = n
        self.steps += 1
        self.pids.add(said["pid"])
