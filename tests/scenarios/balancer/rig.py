"""HAProxy with our configuration before servers of a few lines, and clients that send raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millions.model import Address
from millions.runtime import processes
from millions.runtime.ports import free_port
from millions.testing import eventually
from millions.tiers import haproxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "haproxy"
SOURCE = "127.201.3.1"
"""Where the balancer asks from; web servers believe what this address says."""

DEFAULTS: dict[str, Any] = {
    "threads": 1,
    "connections": 2000,
    "balance": "leastconn",
    "sticky": False,
    "secured": None,
    "challenges": "",
    "exempt": ("127.0.0.1",),
    "connections_per_address": 100,
    "requests_per_s": 100,
    "max_body_mib": 64,
    "max_header_kib": 16,
    "max_url_bytes": 8192,
    "repeat_kib": 64,
    "request_s": 2,
    "idle_s": 5,
    "answer_s": 20,
    "tunnel_s": 60,
    "queue_s": 2,
    "drain_s": 30,
}


@dataclass(slots=True)
class Asked:
    """One request as a server behind the balancer got it."""

    head: bytes
    body: bytes
    peer: str

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }


@dataclass(slots=True)
class Backend:
    """A server that keeps what it is asked and answers with its own name.

    It reads bodies by Content-Length or in chunks, as strictly as one may.
    """

    name: str
    port: int = field(default_factory=free_port)
    asked: list[Asked] = field(default_factory=list)
    act: Callable[[Asked, asyncio.StreamWriter], Awaitable[bool]] | None = None
    _server: asyncio.Server | None = None
    _open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Stop listening and break what is connected, as a process that is killed does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open.values():
            writer.transport.abort()
        if self._open:
            await asyncio.wait(list(self._open), timeout=5)

    def of(self, path: str) -> list[Asked]:
        return [each for each in self.asked if path.encode() in each.head.split(b"\r\n")[0]]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        task.add_done_callback(self._open.pop)
        peer = str(writer.get_extra_info("peername")[0])
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked = Asked(head, b"", peer)
                asked.body = await _body(asked, reader)
                if b" /readyz " not in head:
                    self.asked.append(asked)
                if self.act is not None and await self.act(asked, writer):
                    break
                name = self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(name) + name)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _body(asked: Asked, reader: asyncio.StreamReader) -> bytes:
    headers = asked.headers
    if "transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(parts)


class Balancer:
    """HAProxy as the supervisor runs it: in the foreground, with inherited listening sockets."""

    def __init__(self, backends: list[Backend], **rules: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="millions-balancer-"))
        self.private = Address(host="127.0.0.1", port=free_port())
        self._origin = Address(host="127.0.0.1", port=free_port())
        self.socket = self.folder / "socket"
        self.file = self.folder / "haproxy.cfg"
        self.backends = backends
        self._rules = rules
        self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=2048) for _ in range(2)]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self._listeners[0].getsockname()[1])

    @property
    def secured_port(self) -> int:
        return int(self._listeners[1].getsockname()[1])

    def render(self, **rules: Any) -> None:
        self._rules |= rules
        wanted = haproxy.Rules(
            **{**DEFAULTS, **self._rules},
            socket=str(self.socket),
            private=self.private,
            origin=self._origin,
        )
        options = haproxy.server_options(SOURCE, 500)
        servers = "\n".join(
            f"    server {each.name} 127.0.0.1:{each.port} {options} weight 100"
            for each in self.backends
        )
        self.file.write_text(haproxy.configuration(wanted).replace("{servers}", servers))

    async def start(self) -> None:
        self.render()
        self._launch()
        try:
            await eventually(self.ready, within_s=10)
        except AssertionError as error:
            raise AssertionError(self.log()) from error

    def _launch(self) -> None:
        one, two = self._fd(0), self._fd(1)
        move = f'exec 30<&{one} 31<&{two}; exec 3<&30 4<&31 30<&- 31<&-; exec "$@"'
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", move, "bash", HAPROXY, "-W", "-f", str(self.file)],
                pass_fds=[one, two],
                stdout=log,
                stderr=log,
            )

    def _fd(self, number: int) -> int:
        return self._listeners[number].fileno()

    async def ready(self) -> bool:
        """Whether every server was found well."""
        if not self.socket.exists():
            return False
        with contextlib.suppress(OSError):
            states = [each["status"] for each in self.servers()]
            return bool(states) and all(each == "UP" for each in states)
        return False

    def servers(self) -> list[dict[str, str]]:
        rows = csv.DictReader(io.StringIO(self.say("show stat").lstrip("# ")))
        return [
            each
            for each in rows
            if each["pxname"] == haproxy.BACKEND and each["svname"] != "BACKEND"
        ]

    def say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.socket))
            client.sendall(f"{command}\n".encode())
            parts = []
            while part := client.recv(65_536):
                parts.append(part)
        return b"".join(parts).decode().strip()

    def workers(self) -> list[int]:
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(each) for each in path.read_text().split()]

    async def signal_to_reload(self) -> None:
        """Ask the master to reload; it can be asked when it has its handler again."""
        assert self.process is not None
        master = processes.identify(self.process.pid)
        assert master is not None
        await eventually(lambda: processes.catches(master, signal.SIGUSR2), within_s=10)
        self.process.send_signal(signal.SIGUSR2)

    async def reload(self) -> None:
        before = set(self.workers())
        await self.signal_to_reload()
        await eventually(lambda: set(self.workers()) - before, within_s=10)
        await eventually(lambda: self._answers() not in {0, *before}, within_s=10)
        await eventually(self.ready, within_s=10)

    def _answers(self) -> int:
        """The pid of the worker that answers at the socket; 0 while none does."""
        with contextlib.suppress(OSError):
            lines = self.say("show info").splitlines()
            return next((int(each[5:]) for each in lines if each.startswith("Pid: ")), 0)
        return 0

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def close(self) -> None:
        if self.process is not None:
            for pid in self.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(10)
        for each in self._listeners:
            each.close()
        shutil.rmtree(self.folder)


class Client:
    """One connection from an address of its own, which sends what it is told, byte for byte."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._place = (port, source)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, data: bytes) -> None:
        port, source = self._place
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(source, 0), limit=1 << 20
            )
        self._streams[1].write(data)
        with contextlib.suppress(ConnectionError):
            await self._streams[1].drain()

    async def answer(self, within_s: float = 10) -> Answer:
        assert self._streams is not None
        reader = self._streams[0]
        async with asyncio.timeout(within_s):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (each.partition(":") for each in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, body.decode("latin-1"))

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    async def closed(self, within_s: float = 15) -> bool:
        """Wait until the other side has closed; what it still sends is dropped."""
        assert self._streams is not None
        async with asyncio.timeout(within_s):
            with contextlib.suppress(ConnectionError):
                while await self._streams[0].read(65_536):
                    pass
        return True

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: str


async def once(port: int, data: bytes, source: str = "127.0.0.1") -> Answer:
    """Ask once on a connection of its own."""
    client = Client(port, source)
    try:
        return await client.ask(data)
    finally:
        await client.close()


def get(path: str = "/", *headers: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", "Host: photos.test", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
