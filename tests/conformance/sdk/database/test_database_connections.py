# ruff: noqa: PT012  # leaving the block is what raises
"""Raw connections for the SDK's own hot paths, and its tables: bounded, clean, made once."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from database_doors import raw
from sqlalchemy import text

from millions.sdk import schema
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS millions.things (id int PRIMARY KEY)",
    "CREATE INDEX IF NOT EXISTS things_id ON millions.things (id)",
)


async def test_the_raw_pool_has_four_connections_at_most(db):
    pool = db.pool()
    held = [await pool.acquire() for _ in range(4)]
    with pytest.raises(TimeoutError):
        await pool.acquire(timeout=0.1)
    for connection in held:
        await pool.release(connection)


async def test_a_transaction_left_open_on_a_raw_connection_is_rolled_back(db):
    async with db.pool().acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO countries VALUES ('XX')")
    async with db.pool().acquire() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT count(*) FROM countries") == 0


async def test_giving_a_raw_connection_back_costs_no_round_trip(db, witness):
    async with db.pool().acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.fetchval("SELECT 'the last statement'")
    last = await witness.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
    assert last == "SELECT 'the last statement'"


async def test_a_listener_hears_what_a_block_notifies_at_its_commit(db):
    heard = []
    listener = await db.listener()
    await listener.add_listener("news", lambda *each: heard.append(each[-1]))
    async with db.write(uuid7()) as session:
        await session.execute(text("SELECT pg_notify('news', 'committed')"))
    with pytest.raises(ZeroDivisionError):
        async with db.write(uuid7()) as session:
            await session.execute(text("SELECT pg_notify('news', 'rolled back')"))
            _ = 1 / 0
    async with db.write(uuid7()) as session:
        await session.execute(text("SELECT pg_notify('news', 'last')"))
    await eventually(lambda: "last" in heard)
    assert heard == ["committed", "last"]
    await listener.close()


async def test_a_statement_and_an_idle_transaction_are_bounded_by_the_server(db):
    async with db.read(uuid7()) as session:
        assert await session.scalar(text("SHOW statement_timeout")) == "1min"
        assert await session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"


async def test_closing_does_not_wait_for_a_connection_that_is_in_use(millions_directory):
    db = Database()
    await db.open(millions_directory)
    block = db.read(uuid7())
    session = await block.__aenter__()
    async with asyncio.timeout(10):
        await db.close()
    assert await session.scalar(text("SELECT 1")) == 1
    await block.__aexit__(None, None, None)


async def test_opening_again_leaves_no_connection_of_the_first_time(millions_directory, witness):
    db = Database()
    for _ in range(3):
        await db.open(millions_directory)
    await db.close()

    async def none_left():
        return not await witness.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name <> 'witness'"
        )

    await eventually(none_left)


async def test_eight_processes_at_once_make_the_tables_once(millions_directory):
    connections = [await raw(millions_directory) for _ in range(8)]
    await asyncio.gather(*(schema.ensure(each, STATEMENTS) for each in connections))
    rows = await connections[0].fetch("SELECT digest FROM millions.applied")
    assert len(rows) == 1
    for connection in connections:
        await connection.close()


async def test_tables_that_were_made_before_are_not_made_again(witness):
    await schema.ensure(witness, STATEMENTS)
    await witness.execute("DROP TABLE millions.things")
    await schema.ensure(witness, STATEMENTS)
    assert await witness.fetchval("SELECT to_regclass('millions.things')") is None
    await schema.ensure(witness, (*STATEMENTS, "SELECT 1"))
    assert await witness.fetchval("SELECT to_regclass('millions.things')") == "millions.things"


async def test_statements_that_fail_leave_nothing_behind(witness):
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await schema.ensure(witness, (*STATEMENTS, "CREATE NONSENSE"))
    assert await witness.fetchval("SELECT to_regclass('millions.things')") is None
