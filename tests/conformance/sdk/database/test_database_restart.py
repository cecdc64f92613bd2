"""A server that restarts or is away for a moment costs time, not errors."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from album import Photo
from database_doors import raw, redirected
from proxy import Relay
from sqlalchemy import text

from millions.directory import Endpoint
from millions.errors import CommitUnknownError, UnavailableError
from millions.runtime.ports import free_port
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

WRITERS = 4


async def test_connections_that_the_server_closed_are_replaced_without_an_error(
    millions_directory, witness
):
    db = Database(hold_s=0)  # nothing is held: a connection that is closed is never used
    await db.open(millions_directory)

    async def busy():
        async with db.read(uuid7()) as session:
            await session.execute(text("SELECT pg_sleep(0.05)"))

    for _ in range(2):
        await asyncio.gather(*(busy() for _ in range(8)))
        await witness.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with db.write(uuid7()) as session:
            session.add(Photo(title="a"))
    await db.close()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=["clean", "crash"])
async def test_a_restart_under_writers_loses_no_acknowledged_write(fragile, fragile_server, sent):
    db = Database(hold_s=20)
    await db.open(fragile)
    owner, acknowledged, unknown, stop = uuid7(), set(), set(), False

    async def write_on():
        while not stop:
            photo = uuid7()

            async def work(session, photo=photo):
                session.add(Photo(id=photo, title="kept"))

            try:
                await db.run(owner, work)
            except CommitUnknownError:
                unknown.add(photo)
            else:
                acknowledged.add(photo)

    writers = [asyncio.ensure_future(write_on()) for _ in range(WRITERS)]
    await eventually(lambda: len(acknowledged) > 50)
    await asyncio.to_thread(fragile_server.stop, sent=sent)
    before = len(acknowledged)
    await asyncio.to_thread(fragile_server.start)
    await eventually(lambda: len(acknowledged) > before + 50, within_s=20)
    stop = True
    await asyncio.gather(*writers)
    witness = await raw(fragile)
    kept = {row["id"] for row in await witness.fetch("SELECT id FROM photos")}
    await witness.close()
    assert acknowledged <= kept
    assert kept <= acknowledged | unknown
    assert len(unknown) <= WRITERS
    await db.close()


async def test_a_server_that_stays_away_is_reported_in_time(fragile, fragile_server):
    db = Database(hold_s=0.3)
    await db.open(fragile)
    await asyncio.to_thread(fragile_server.stop)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="begin a transaction"):
        async with db.write(uuid7()):
            pass
    assert 0.3 <= time.monotonic() - began < 5
    await asyncio.to_thread(fragile_server.start)
    async with db.write(uuid7()) as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await db.close()


async def test_a_server_that_is_silent_is_reported_in_time(millions_directory):
    async with Relay(millions_directory.database.shards[0].primary) as relay:
        near = Endpoint(host="127.0.0.1", port=relay.port)
        db = Database(hold_s=1)
        await db.open(redirected(millions_directory, near))
        relay.stall = b"BEGIN"
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="TimeoutError"):
            async with db.write(uuid7()):
                pass
        assert time.monotonic() - began < 12
        relay.stall = b""
        async with asyncio.timeout(10):
            await db.close()


async def test_a_server_that_starts_late_is_waited_for(fragile, fragile_server):
    await asyncio.to_thread(fragile_server.stop)
    db = Database(hold_s=20)
    opening = asyncio.ensure_future(db.open(fragile))
    await asyncio.to_thread(fragile_server.start)
    await opening
    await db.close()


async def test_a_server_that_is_not_there_is_said_at_opening(millions_directory):
    db = Database(hold_s=0.1)
    nowhere = Endpoint(host="127.0.0.1", port=free_port())
    with pytest.raises(UnavailableError, match="millions status"):
        await db.open(redirected(millions_directory, nowhere))


async def test_a_wrong_password_is_said_at_once(millions_directory, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    endpoint = millions_directory.database.shards[0].primary
    with pytest.raises(UnavailableError, match="password authentication failed"):
        await Database().open(redirected(millions_directory, endpoint, password_file=str(wrong)))


async def test_a_missing_password_file_is_said_at_once(millions_directory, tmp_path):
    endpoint = millions_directory.database.shards[0].primary
    with pytest.raises(UnavailableError, match="read the database's password"):
        await Database().open(
            redirected(millions_directory, endpoint, password_file=str(tmp_path / "none"))
        )


async def test_a_database_that_does_not_exist_is_said_at_once(millions_directory):
    endpoint = millions_directory.database.shards[0].primary
    with pytest.raises(UnavailableError, match="does not exist"):
        await Database().open(redirected(millions_directory, endpoint, name="nowhere"))
