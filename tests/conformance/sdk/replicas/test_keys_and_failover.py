"""A request with an Idempotency-Key takes effect once, whatever server is the primary meanwhile."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import pytest_asyncio
from notes import Note
from sqlalchemy import select, text

from millions.sdk import nouns
from millions.sdk.asgi import Millions
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

OWNER = uuid7()
CLIENTS = 8


async def order(scope, receive, send):
    """Write one note, whose words are the request's body."""
    body = (await receive())["body"].decode()
    async with nouns.db.write(OWNER) as session:
        session.add(Note(owner_id=OWNER, words=body))
        await session.flush()
        await session.execute(text("SELECT pg_sleep(0.002)"))
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


@pytest_asyncio.fixture(loop_scope="session")
async def site(directory):
    await nouns.open_all(directory)
    app = Millions(order, sessions=False, access_log=False)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://site", timeout=60) as user:
        yield user
    await nouns.close_all()


async def words():
    async with nouns.db.read(OWNER) as session:
        return sorted(await session.scalars(select(Note.words).where(Note.owner_id == OWNER)))


@pytest.mark.parametrize("harm", ["kill", "freeze"])
async def test_each_key_has_one_effect_across_a_failover(site, servers, harm):
    await asyncio.to_thread(servers.synchronous)
    stop, done = False, []

    async def client(number):
        sent = 0
        while not stop:
            sent += 1
            key = f"{number}-{sent}"
            while True:
                answer = await site.post("/", content=key, headers={"idempotency-key": key})
                if answer.status_code in (200, 201):
                    break
                assert answer.status_code in (409, 500, 503), answer.text
            done.append(key)

    clients = [asyncio.ensure_future(client(number)) for number in range(CLIENTS)]
    await eventually(lambda: len(done) > 40)
    await asyncio.to_thread(getattr(servers.primary, harm))
    await asyncio.to_thread(servers.fail_over)
    before = len(done)
    await eventually(lambda: len(done) > before + 40, within_s=40)
    stop = True
    await asyncio.gather(*clients)
    assert await words() == sorted(done)


async def test_a_commit_that_nobody_answered_is_settled_by_the_keys_row(site, servers):
    await asyncio.to_thread(servers.synchronous, "nobody")
    headers = {"idempotency-key": "settled"}
    first = asyncio.ensure_future(site.post("/", content="once", headers=headers))
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    async def committing():
        return int(await asyncio.to_thread(servers.primary.sql, waits))

    await eventually(committing)
    await asyncio.to_thread(servers.wait_replayed)
    await asyncio.to_thread(servers.primary.kill)
    await asyncio.to_thread(servers.fail_over)
    assert (await first).status_code == 201
    assert (await site.post("/", content="once", headers=headers)).status_code == 201
    assert await words() == ["once"]
