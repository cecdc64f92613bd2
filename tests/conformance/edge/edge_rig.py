"""A real Varnish with our configuration, before an application of a few lines that counts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millions.model import Address
from millions.runtime.ports import free_port
from millions.testing import eventually
from millions.tiers import edge, varnish
from millions.tiers.haproxy_edges import SECRET_VARIABLE

VARNISHD = shutil.which("varnishd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "varnishd"
SECRET = "the-secret-of-a-test"
RULES: dict[str, Any] = {
    "answer_s": 5,
    "revalidate_s": 0,
    "stale_s": 3600,
    "missing_s": 60,
    "object_mib": 1,
    "versioned": "/assets/",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the application got it."""

    target: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def kept(self) -> bool:
        return "; hit" in self.headers.get("cache-status", "")


@dataclass(slots=True)
class Origin:
    """Answers each path as it was told, and counts; without being told, with a number."""

    port: int = field(default_factory=free_port)
    counts: Counter[str] = field(default_factory=Counter)
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Stop listening and break what is connected, as a process that is killed does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    def told(self, path: str, status: int = 200, **headers: str) -> str:
        """Let `path` be answered so; underscores stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, named)
        return path

    def count(self, path: str) -> int:
        """How often the application was asked for the path, whatever the query."""
        return self.counts[path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, EOFError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                method, target, _ = head.split("\r\n")[0].split(" ")
                if target != "/readyz":
                    self.asked.append(Asked(target, _headers(head)))
                await self._answer(method, target, writer)
        self._open.discard(writer)
        writer.close()

    async def _answer(self, method: str, target: str, writer: asyncio.StreamWriter) -> None:
        path = target.partition("?")[0]
        self.counts[path] += 1
        number = self.counts[path]
        if path in self.gates:
            await self.gates[path].wait()
        status, headers = self.answers.get(path, (200, {}))
        body = f"{path} {number}"
        size = int(headers.get("size", "0"))
        content = body.ljust(size).encode("latin-1")
        lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name != "size"]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        writer.write(b"" if method == "HEAD" else content)
        await writer.drain()


def _headers(head: str) -> dict[str, str]:
    return {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
    }


class Varnish:
    """One edge as the supervisor runs it."""

    def __init__(self, origin: Origin, **rules: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="millions-edge-"))
        self.address = Address(host="127.0.0.1", port=free_port())
        asks = Address(host="127.0.0.1", port=origin.port)
        wanted = varnish.Rules(origin=asks, **{**RULES, **rules})
        (self.folder / "edge.vcl").write_text(varnish.configuration(wanted))
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        named = edge.Process("edge.1", self.address, 64)
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  # starts at once
                edge.command(VARNISHD, named, str(self.folder)),
                env={"PATH": os.environ.get("PATH", "/usr/bin"), SECRET_VARIABLE: SECRET},
                stdout=log,
                stderr=log,
            )
        await eventually(self._settled, within_s=60)
        assert self.process.poll() is None, (self.folder / "log").read_text()

    async def _settled(self) -> bool:
        """Whether it answers, or has ended."""
        if self.process is None or self.process.poll() is not None:
            return True
        return (await self.ask("GET", "/readyz", secret="")).status == 200

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            finally:
                self.process.kill()
                self.process.wait(10)
        shutil.rmtree(self.folder)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def purge(self, *tags: str, secret: str = SECRET) -> Answer:
        return await self.ask("PURGE", "/", purge_tags=" ".join(tags), secret=secret)

    async def ask(self, method: str, path: str, *, secret: str = SECRET, **headers: str) -> Answer:
        """Ask as the balancer does, on a connection of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"host": "photos.test", "x-forwarded-proto": "http", "connection": "close", **named}
        if secret:
            sent["x-millions-edge"] = secret
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {said}" for name, said in sent.items())]
        reader, writer = await asyncio.open_connection(
            self.address.host, self.address.port, limit=1 << 20
        )
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            async with asyncio.timeout(30):
                said = await reader.read()
        finally:
            writer.close()
        head, _, body = said.partition(b"\r\n\r\n")
        first = head.decode("latin-1")
        return Answer(int(first.split(" ")[1]), _headers(first), body.decode("latin-1"))
