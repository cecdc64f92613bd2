"""The photo application on the stack file of a rung, as it stands in examples; a person on it."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from millions.runtime import belonging, processes
from millions.runtime.ports import free_port
from millions.runtime.state import StateFolder, open_folder
from millions.testing import command_line, eventually

EXAMPLES = Path(__file__).parents[3] / "examples"
LISTENS = '# listen = "127.0.0.1:8000"'
DONE_WITHIN_S = 170.0
READY_WITHIN_S = 90.0
SERVER_ERROR = 500
PASSWORD = "a long enough password"


@dataclass(slots=True, kw_only=True)
class Grown:
    """A copy of an example in a folder of its own, on a port of its own."""

    root: Path
    example: str
    port: int = field(default_factory=free_port)

    def make(self) -> None:
        self.folder.mkdir(parents=True)
        photos = shutil.ignore_patterns("__pyc*")
        shutil.copytree(EXAMPLES / "photos", self.folder / "photos", ignore=photos)
        text = (EXAMPLES / self.example).read_text(encoding="utf-8")
        assert LISTENS in text
        self.file.write_text(text.replace(LISTENS, f'listen = "127.0.0.1:{self.port}"', 1))

    @property
    def folder(self) -> Path:
        return self.root / "stack"

    @property
    def file(self) -> Path:
        return self.folder / "millions.toml"

    @property
    def state(self) -> StateFolder:
        (found,) = (self.root / "home").glob("photos-*")
        return open_folder(found)

    def millions(self, *arguments: str, status: int | None = 0) -> str:
        return command_line.run(
            *arguments,
            folder=self.folder,
            home=self.root / "home",
            status=status,
            within_s=DONE_WITHIN_S,
        ).out

    def status(self) -> dict[str, Any]:
        """What `millions status` says, also while not all is well."""
        found: dict[str, Any] = json.loads(self.millions("status", "--json", status=None))
        return found

    def kill(self, *units: str) -> None:
        """SIGKILL these units and all that they started, at once."""
        found = {each["name"]: each["pid"] for each in self.status()["units"]}
        trees = []
        for unit in units:
            identity = processes.identify(found[unit])
            assert identity is not None
            trees.append(processes.kill_tree(identity))
        for tree in trees:
            assert processes.wait_gone(tree)

    async def well(self) -> None:
        await eventually(lambda: self.status()["well"], within_s=READY_WITHIN_S)

    def end(self) -> None:
        """Stop it and prove that nothing is left."""
        self.millions("down", status=None)
        assert belonging.members(self.state) == ()

    def person(self) -> Person:
        """Somebody who has not signed up yet."""
        address = f"http://127.0.0.1:{self.port}"
        return Person(client=httpx.AsyncClient(base_url=address, timeout=60.0))


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody who shows pictures."""

    client: httpx.AsyncClient
    me: str = ""

    async def sign_up(self) -> None:
        given = {"name": "Ada", "handle": f"u_{secrets.token_hex(6)}", "password": PASSWORD}
        answer = await self.client.post("/api/people", json=given)
        assert answer.status_code == 201, answer.text
        self.client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        self.me = answer.json()["me"]["id"]

    async def show(self, caption: str) -> dict[str, Any]:
        """Upload a picture, again with the same key while it fails; wait until it is developed."""
        picture = BytesIO()
        Image.new("RGB", (320, 240), (200, 10, 10)).save(picture, "PNG")
        files = {"file": ("p.png", picture.getvalue(), "image/png")}
        key = {"Idempotency-Key": secrets.token_hex(16)}

        async def answered() -> httpx.Response | None:
            found = await self.client.post(
                "/api/photos", files=files, data={"caption": caption}, headers=key
            )
            return found if found.status_code < SERVER_ERROR else None

        answer = await eventually(answered, within_s=READY_WITHIN_S)
        assert answer is not None
        assert answer.status_code == 201, answer.text
        photo = answer.json()["id"]

        async def developed() -> dict[str, Any] | None:
            found = await self.client.get(f"/api/photos/{self.me}/{photo}")
            assert found.status_code == 200, found.text
            shown: dict[str, Any] = found.json()
            return shown if shown["ready"] else None

        found = await eventually(developed, within_s=READY_WITHIN_S)
        assert found is not None
        return found

    async def fetched(self, url: str) -> httpx.Response:
        """What somebody without a cookie gets there."""
        async with httpx.AsyncClient(base_url=self.client.base_url, timeout=60.0) as anybody:
            return await anybody.get(url)
