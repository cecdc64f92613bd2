"""A stack whose files are on servers of their own, and what can be done to it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from millions.runtime import desired, processes, status
from millions.runtime.belonging import members as members_of
from millions.runtime.state import StateFolder, open_folder
from millions.testing import eventually
from millions.testing.postgres import free_port

if TYPE_CHECKING:
    import signal

    from millions.runtime.processes import Identity

MILLIONS = str(Path(sys.executable).parent / "millions")
DONE_WITHIN_S = 150.0
READY_WITHIN_S = 100.0
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
    files: str = ON_SERVERS
    port: int = field(default_factory=free_port)
    acknowledged: dict[str, str] = field(default_factory=dict)

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

    async def lost(self, client: httpx.AsyncClient) -> list[str]:
        """Which of the acknowledged files cannot be read back as they were."""
        found = []
        for name, digest in list(self.acknowledged.items()):
            answer = await client.get(f"/{name}")
            if answer.status_code != 200 or hashlib.sha256(answer.content).hexdigest() != digest:
                found.append(f"{name}: {answer.status_code}")
        return found
