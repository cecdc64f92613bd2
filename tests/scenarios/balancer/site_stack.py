"""A stack with a balancer and web servers, changed by the command line under load."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from millions.model import Address
from millions.runtime.ports import free_port
from millions.testing import command_line
from millions.testing.load import Answer, Load, ask, get

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from millions.testing.command_line import Ran

HERE = Path(__file__).parent
HOST = "127.0.0.1"

STACK_FILE = """\
# the stack of a test
rung = 3

[app]
name = "{name}"
web = "site_app:app"
migrate = "python site_migrate.py"

[web]
servers = 2   # both are needed
drain_s = 5
canary_s = 0

[balancer]
listen = "127.0.0.1:{port}"
drain_s = 5
idle_s = 2

[database]
memory_mib = 64
"""


class Site:
    """One stack of a test, in folders of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / name
        self.home = root / f"{name}-state"
        self.port = free_port()
        self.killed: list[int] = []
        self.folder.mkdir()
        self.home.mkdir(mode=0o755)
        for each in ("site_app.py", "site_migrate.py"):
            shutil.copy(HERE / each, self.folder / each)
        self.behave("good")
        self.file = self.folder / "millions.toml"
        self.file.write_text(STACK_FILE.format(name=name, port=self.port))

    def behave(self, how: str) -> None:
        """What the next release does."""
        (self.folder / "behaviour").write_text(how)

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def millions(self, *arguments: str, status: int | None = 0) -> Ran:
        return command_line.run(*arguments, folder=self.folder, home=self.home, status=status)

    async def run(self, *arguments: str, status: int | None = 0) -> Ran:
        """The same, while clients of this process go on."""
        return await asyncio.to_thread(self.millions, *arguments, status=status)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on; whoever starts it waits for it."""
        return command_line.begin(*arguments, folder=self.folder, home=self.home)

    @property
    def address(self) -> Address:
        return Address(host=HOST, port=self.port)

    @property
    def state(self) -> Path:
        (found,) = self.home.glob(f"{self.folder.name}-*")
        return found

    def units(self) -> dict[str, dict[str, Any]]:
        status = json.loads((self.state / "status.json").read_text())
        return {unit["name"]: unit for unit in status["units"]}

    def pid(self, name: str) -> int:
        return int(self.units()[name]["pid"])

    def kill(self, name: str) -> None:
        self.killed.append(self.pid(name))
        os.kill(self.killed[-1], signal.SIGKILL)

    def well(self) -> bool:
        """Whether every unit is ready, by processes that nobody has killed, and is asked."""
        units = self.units()
        ready = all(unit["phase"] == "ready" for unit in units.values())
        killed = any(unit["pid"] in self.killed for unit in units.values())
        names = {name for name in units if name.startswith("web")}
        return ready and not killed and self.asked() == names

    def asked(self) -> set[str]:
        """The web servers that the balancer finds well."""
        with contextlib.suppress(OSError):
            rows = said(self.state / "run" / "balancer.1.sock", "show stat")
            web = (each for each in rows if each["pxname"] == "web")
            return {each["svname"] for each in web if each["status"] == "UP"} - {"BACKEND"}
        return set()

    def supervisor(self) -> int:
        return int((self.state / "supervisor.lock").read_text())

    async def page(self, path: str, *headers: str) -> Answer:
        return await ask(
            HOST, self.port, get(path, headers="".join(f"{h}\r\n" for h in headers))(0)
        )

    async def json(self, path: str) -> Any:
        answer = await self.page(path)
        assert answer.status == 200, answer
        return orjson.loads(answer.body)

    def load(self, make: Callable[[int], bytes] | None = None, **more: Any) -> Load:
        return Load(self.address, request=make or get("/who"), **({"mode": "both"} | more))

    def pids(self) -> list[int]:
        """Every process of the stack."""
        return command_line.processes_of(self.home, self.folder.name)


def said(path: Path, command: str) -> list[dict[str, str]]:
    """What HAProxy answers on its control socket, as rows."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(f"{command}\n".encode())
        parts = []
        while part := client.recv(65_536):
            parts.append(part)
    return list(csv.DictReader(io.StringIO(b"".join(parts).decode().lstrip("# "))))


def post(what: str, *headers: str, **body: Any) -> bytes:
    """An order, as bytes."""
    content = orjson.dumps({"what": what, **body})
    lines = (
        "POST /orders HTTP/1.1",
        "host: photos.test",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content
