"""A user over HTTP: the cookie says what they saw, and the directory file what there is."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from notes import count, port, write
from replica_reading import settled

from millions.directory import WebPlace
from millions.sdk import nouns
from millions.sdk.asgi import Millions
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

if TYPE_CHECKING:
    from pathlib import Path

BALANCER = "127.9.3.1"
OWNER = uuid7()


async def notes(scope, receive, send):
    """POST writes one; GET answers how many there are, and which server said so."""
    if scope["method"] == "POST":
        await write(nouns.db, OWNER)
    found = f"{await count(nouns.db, OWNER)} {await port(nouns.db, OWNER)} {scope['client'][0]}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": found.encode()})


class Site:
    """The application in this process, with a directory file as the supervisor writes it."""

    def __init__(self, directory, path: Path):
        self.directory = directory
        self.path = path
        self.app = Millions(notes)

    def publish(self, **changes):
        self.directory = dataclasses.replace(
            self.directory, epoch=self.directory.epoch + 1, **changes
        )
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(self.directory.text())
        fresh.replace(self.path)

    def user(self, *, client=("203.0.113.1", 1)):
        transport = httpx.ASGITransport(app=self.app, client=client)
        return httpx.AsyncClient(transport=transport, base_url="http://site")


@pytest_asyncio.fixture(loop_scope="session")
async def site(directory, tmp_path, monkeypatch):
    monkeypatch.setattr(nouns.db, "_bounds", dataclasses.replace(nouns.db._bounds, settle_s=0.05))
    found = Site(directory, tmp_path / "directory.json")
    found.publish()
    monkeypatch.setenv("MILLIONS_DIRECTORY", str(found.path))
    await nouns.open_all()
    yield found
    await nouns.close_all()


async def test_a_user_reads_what_they_wrote_in_the_request_before(site, servers):
    await settled(nouns.db)
    for member in servers.replicas():
        await asyncio.to_thread(member.pause)
    async with site.user() as user:
        before = int((await user.get("/")).text.split()[0])
        await user.post("/")
        assert any(each.startswith("millions_position_wrote") for each in user.cookies)
        for _ in range(5):
            assert int((await user.get("/")).text.split()[0]) == before + 1


async def test_a_client_with_a_token_and_no_cookies_reads_what_it_wrote(site, servers):
    await settled(nouns.db)
    for member in servers.replicas():
        await asyncio.to_thread(member.pause)
    token = {"authorization": "Bearer 1"}
    async with site.user() as user:
        await user.post("/", headers=token)
        user.cookies.clear()
        found = await user.get("/", headers=token)
        assert int(found.text.split()[0]) == 1


async def test_replicas_in_the_directory_file_are_used_and_left_without_a_restart(site, servers):
    await settled(nouns.db)
    full = site.directory.database
    alone = dataclasses.replace(full.shards[0], replicas=())
    async with site.user() as user:

        async def answered_by():
            return int((await user.get("/")).text.split()[1])

        async def by_a_replica():
            return await answered_by() != servers.primary.port

        await eventually(by_a_replica)
        assert "millions_position" in user.cookies
        site.publish(database=dataclasses.replace(full, shards=(alone,)))
        await eventually(lambda: nouns.db._home.topology is None)
        user.cookies.clear()
        assert await answered_by() == servers.primary.port
        assert not user.cookies
        site.publish(database=full)
        await eventually(by_a_replica)
        assert "millions_position" in user.cookies


async def test_a_file_that_is_damaged_is_not_followed(site, servers):
    site.path.write_text("{")
    site.publish(web=WebPlace(trusted=BALANCER))
    await eventually(lambda: nouns.opened_with().web.trusted == BALANCER)


@pytest.mark.parametrize("host", [BALANCER, "127.9.3.2"])
async def test_the_balancer_is_believed_and_nobody_else(site, servers, host):
    site.publish(web=WebPlace(trusted=BALANCER))
    await eventually(lambda: nouns.opened_with().web.trusted == BALANCER)
    async with site.user(client=(host, 1)) as user:
        answer = await user.get("/", headers={"x-forwarded-for": "203.0.113.9"})
    expected = "203.0.113.9" if host == BALANCER else host
    assert answer.text.split()[2] == expected
