"""A stack whose files are on servers of their own, and what can be done to it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from millions.runtime import desired, processes, status
from millions.runtime.belonging import members as members_of
from millions.runtime.ports import free_port
from millions.runtime.state import StateFolder, open_folder
from millions.testing import eventually

if TYPE_CHECKING:
    import signal
    from typing import Self

    from millions.model import Address
    from millions.runtime.processes import Identity

MILLIONS = str(Path(sys.executable).parent / "millions")
DONE_WITHIN_S = 150.0
READY_WITHIN_S = 100.0
ENOUGH = 5
PACE_S = 0.05
BACK_WITHIN_S = 60.0
ANSWER_WITHIN_S = 60.0
ON_SERVERS = "[files]\nservers = 2"
IN_A_FOLDER = "# no servers"
STACK = """\
rung = 1

[app]
name = "files"
web = "application:app"

[web]
listen = "127.0.0.1:{port}"

[database]
memory_mib = 64

{files}
"""
APPLICATION = '''\
"""Takes a file by PUT and gives it out by GET."""

from millions import Millions, files
from millions.errors import FileRefusedError


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    name, status, body = scope["path"][1:], 200, b""

    async def sent():
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client left")
            more = message.get("more_body", False)
            yield message.get("body", b"")

    if scope["method"] == "PUT":
        body = (await files.put(name, sent())).etag.encode()
    elif scope["method"] == "DELETE":
        await files.delete(name)
    else:
        try:
            body = await files.read(name)
        except FileRefusedError:
            status = 404
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = Millions(app)
'''


@dataclass(slots=True, kw_only=True)
class Stored:
    """A stack in a folder of its own; `acknowledged` are the digests of what it took, by name."""

    root: Path
    files: str = IN_A_FOLDER
    port: int = field(default_factory=free_port)
    acknowledged: dict[str, str] = field(default_factory=dict)
    failed_in_the_change: list[int] = field(default_factory=list)
    web_before: Identity | None = None

    def make(self) -> None:
        """Write its stack file and application."""
        self.folder.mkdir(parents=True)
        self.file.write_text(STACK.format(port=self.port, files=self.files))
        (self.folder / "application.py").write_text(APPLICATION)

    @property
    def folder(self) -> Path:
        return self.root / "files"

    @property
    def file(self) -> Path:
        return self.folder / "millions.toml"

    @property
    def state(self) -> StateFolder:
        (found,) = (self.root / "home").glob("files-*")
        return open_folder(found)

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.file.write_text(text.replace(before, after))

    def millions(self, *arguments: str, status: int | None = 0) -> str:
        """Run a command; it must exit with `status`. What it said."""
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

    def unit_names(self) -> list[str]:
        """The units of the files."""
        wanted = desired.read(self.state.desired)
        assert wanted is not None
        return [each.name for each in wanted.units if each.tier == "files"]

    def address(self, name: str) -> Address:
        """Where a unit answers."""
        wanted = desired.read(self.state.desired)
        assert wanted is not None
        found = next(each.address for each in wanted.units if each.name == name)
        assert found is not None
        return found

    def identity(self, name: str) -> Identity:
        """The process of a unit."""
        told = status.read(self.state.status)
        assert told is not None
        pid = next(each.pid for each in told.units if each.name == name)
        found = processes.identify(pid) if pid else None
        assert found is not None, f"{name} does not run"
        return found

    def signal(self, name: str, number: signal.Signals) -> Identity:
        """Send a signal to the process of a unit."""
        found = self.identity(name)
        assert processes.send(found, number)
        return found

    async def settled(self) -> None:
        """Wait until everything is as it should be."""

        def all_ready() -> bool:
            told = status.read(self.state.status)
            return told is not None and told.settled

        await eventually(all_ready, within_s=READY_WITHIN_S)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", timeout=ANSWER_WITHIN_S, trust_env=False
        )

    async def upload(self, client: httpx.AsyncClient, name: str, content: bytes) -> int:
        """Upload it, and remember it when it was acknowledged; the status of the answer."""
        answer = await client.put(f"/{name}", content=content)
        if answer.status_code == 200:
            self.acknowledged[name] = hashlib.sha256(content).hexdigest()
        return answer.status_code

    async def change(self) -> None:
        """Go from the folder to servers while files are uploaded."""
        async with Uploads(self, "folder") as uploads:
            await uploads.more()
        self.web_before = self.identity("web.1")
        self.edit(IN_A_FOLDER, ON_SERVERS)
        async with Uploads(self, "change") as uploads:
            await asyncio.to_thread(self.millions, "up", "--detach")
            await self.settled()
            await uploads.more()
        self.failed_in_the_change = uploads.failed
        async with Uploads(self, "after") as uploads:
            await uploads.more()

    async def lost(self, client: httpx.AsyncClient, *, last: int = 0) -> list[str]:
        """Which of the acknowledged files, or the last ones, cannot be read back as they were."""
        found = []
        for name, digest in list(self.acknowledged.items())[-last:]:
            answer = await client.get(f"/{name}")
            if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != digest:
                found.append(f"{name}: {answer.status_code}")
        return found


class Uploads:
    """Uploads one file after the other, and counts those that failed."""

    def __init__(self, stack: Stored, title: str) -> None:
        self.failed: list[int] = []
        self._stack = stack
        self._title = title.replace(".", "-")
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        async with self._stack.client() as client:
            for number in count():
                if self._ended:
                    return
                name = f"{self._title}/{number}"
                status = await self._stack.upload(client, name, os.urandom(30_000))
                if status != 200:
                    self.failed.append(status)
                await asyncio.sleep(PACE_S)  # each is moved later, which takes twice as long

    async def more(self) -> None:
        """Wait until more files were acknowledged."""
        before = len(self._stack.acknowledged)
        await eventually(
            lambda: len(self._stack.acknowledged) >= before + ENOUGH, within_s=BACK_WITHIN_S
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        if self._task is not None:
            await self._task
