"""The photo application on replicas must show each user what they wrote, also after a failover."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from PIL import Image
from replicated import Replicated

from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
MEMBERS = 6
LOOKS = 6
"""After each comment: the first ones are answered by the primary, until a replica is known to have
come far enough."""

PASSWORD = "a long enough password"
STACK = """\
rung = 1

[app]
name = "rep"
web = "photos.web:app"
static = "static"
migrate = "alembic upgrade head"

[web]
listen = "127.0.0.1:{port}"

[database]
memory_mib = 64
replicas = 2

[consensus]
"""


class PhotosOnReplicas(Replicated):
    """The photo application, its database replicated."""

    def make(self) -> None:
        shutil.copytree(PHOTOS, self.folder)
        self.file.write_text(STACK.format(port=self.port))

    def transactions(self, name: str) -> int:
        """How many transactions a member has rolled back: what reads end with."""
        place = self.unit(name).address
        assert place is not None
        options = f"{self.conninfo} target_session_attrs=any host={place.host}"
        with psycopg.connect(options, autocommit=True) as connection:
            asked = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'app'"
            row = connection.execute(asked).fetchone()
            assert row is not None
            return int(row[0])


@pytest.fixture(scope="module")
def photos(root: Path) -> Iterator[PhotosOnReplicas]:
    made = PhotosOnReplicas(root=root)
    made.make()
    try:
        made.millions("up", "--detach")
        yield made
    finally:
        made.end()


@dataclass
class Commenter:
    """Somebody who comments on their own photo, and looks at it, on and on."""

    client: httpx.AsyncClient
    photo: str = ""
    said: list[str] = field(default_factory=list)
    read: int = 0
    stale: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def arrive(self) -> None:
        handle = f"u_{secrets.token_hex(6)}"
        given = {"name": "Ada", "handle": handle, "password": PASSWORD}
        answer = await self.client.post("/api/people", json=given)
        assert answer.status_code == 201, answer.text
        self.client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        picture = BytesIO()
        Image.new("RGB", (64, 64)).save(picture, "PNG")
        files = {"file": ("p.png", picture.getvalue(), "image/png")}
        uploaded = await self.client.post("/api/photos", files=files, data={"caption": ""})
        assert uploaded.status_code == 201, uploaded.text
        found = uploaded.json()
        self.photo = f"/api/photos/{answer.json()['me']['id']}/{found['id']}/comments"

    async def go_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.say(f"comment {len(self.said)}")
            for _ in range(LOOKS):
                await self.look()

    async def say(self, words: str) -> None:
        """With a key, so that it may be repeated until it is acknowledged."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        while True:
            answer = await self.client.post(self.photo, json={"text": words}, headers=headers)
            if answer.status_code in (200, 201):
                self.said.append(words)
                return
            self.failed.append(f"{answer.status_code} {answer.text[:200]}")
            assert answer.status_code >= 500 or answer.status_code == 409, answer.text

    async def look(self) -> None:
        answer = await self.client.get(self.photo)
        if answer.status_code != 200:
            self.failed.append(f"{answer.status_code} {answer.text[:200]}")
            return
        self.read += 1
        shown = [each["text"] for each in answer.json()]
        if shown != self.said[-len(shown) :] or len(shown) != min(100, len(self.said)):
            self.stale.append(f"{shown[-3:]} of {self.said[-3:]}")


async def test_each_member_reads_what_they_wrote_and_a_failover_is_a_pause(
    photos: PhotosOnReplicas,
) -> None:
    await photos.settled()
    replicas = photos.replicas()
    before = {name: photos.transactions(name) for name in replicas}
    stop = asyncio.Event()
    site = f"http://127.0.0.1:{photos.port}"
    clients = [httpx.AsyncClient(base_url=site, timeout=60) for _ in range(MEMBERS)]
    members = [Commenter(client) for client in clients]
    for member in members:
        await member.arrive()
    going = [asyncio.create_task(member.go_on(stop)) for member in members]

    def each_has_said(many: int) -> bool:
        return min(len(member.said) for member in members) >= many

    async def took_over() -> bool:  # busy sessions tell their counts once a second
        after = [await asyncio.to_thread(photos.transactions, name) for name in replicas]
        read = sum(member.read for member in members)
        return each_has_said(15) and sum(after) - sum(before.values()) > read / 5

    await eventually(took_over, within_s=60, saying="replicas take over what they can")
    assert [member.failed for member in members] == [[]] * MEMBERS
    assert all("millions_position" in client.cookies for client in clients)
    photos.kill_server(photos.leader())
    least = min(len(member.said) for member in members)
    await eventually(lambda: each_has_said(least + 15), within_s=60)
    stop.set()
    await asyncio.gather(*going)
    for client in clients:
        await client.aclose()
    assert [member.stale for member in members] == [[]] * MEMBERS
    failed = [each for member in members for each in member.failed]
    assert len(failed) <= MEMBERS, failed
    await photos.settled()
