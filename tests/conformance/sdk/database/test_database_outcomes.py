# ruff: noqa: PT012  # leaving the block is what raises
"""Whoever asked to be told of a transaction's outcome is told once, in order, and the truth."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from album import Photo
from database_doors import redirected
from proxy import Cut, Relay
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from millions.directory import Endpoint
from millions.errors import CommitUnknownError
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.testing import eventually

AT_COMMIT = """
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {body}; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON photos DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION at_commit();
"""
"""Makes the server do something while it carries out COMMIT."""


class Told:
    """A CommitWatcher that writes down what it hears."""

    def __init__(self, db: Database) -> None:
        self.heard: list[object] = []
        db.watch_commits(self)

    async def prepare(self, session, names):
        inside = await session.scalar(select(Photo.title).where(Photo.owner_id == session.key))
        self.heard.append(("prepare", names, inside))

    def committed(self, names):
        self.heard.append(("committed", names))

    def aborted(self, names, *, unknown):
        self.heard.append(("aborted", names, unknown))

    def hook(self, session, title="a"):
        session.add(Photo(title=title))
        session.invalidates("user:7")
        session.after_commit(lambda: self.heard.append("after commit"))
        session.after_rollback(lambda: self.heard.append("after rollback"))


NAMES = frozenset({"user:7"})


async def exists(witness, owner):
    return await witness.fetchval("SELECT count(*) FROM photos WHERE owner_id = $1", owner)


async def test_a_commit_is_prepared_inside_and_told_outside(db, witness):
    told, owner = Told(db), uuid7()

    async def before(session):
        inside = await session.scalar(select(Photo.title).where(Photo.owner_id == owner))
        told.heard.append(("before", inside, await exists(witness, owner)))

    async with db.write(owner) as session:
        session.before_commit(before)
        told.hook(session)
    assert told.heard == [
        ("before", "a", 0),
        ("prepare", NAMES, "a"),
        ("committed", NAMES),
        "after commit",
    ]
    assert await exists(witness, owner) == 1


async def test_a_hook_before_the_commit_may_write_and_add_names_and_hooks(db, witness):
    told, owner = Told(db), uuid7()

    async def second(session):
        session.invalidates("user:8")

    async def first(session):
        session.add(Photo(title="b"))
        session.before_commit(second)

    async with db.write(owner) as session:
        session.before_commit(first)
        session.invalidates("user:7")
    assert told.heard[-1] == ("committed", frozenset({"user:7", "user:8"}))
    assert await exists(witness, owner) == 1


async def test_a_rollback_is_told_and_the_commit_hooks_are_not_called(db):
    told = Told(db)
    with pytest.raises(ZeroDivisionError):
        async with db.write(uuid7()) as session:
            told.hook(session)
            _ = 1 / 0
    assert told.heard == ["after rollback"]


async def test_an_error_before_the_commit_rolls_back(db, witness):
    told, owner = Told(db), uuid7()

    async def refuse(_):
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        async with db.write(owner) as session:
            told.hook(session)
            session.before_commit(refuse)
    assert told.heard == ["after rollback"]
    assert await exists(witness, owner) == 0


async def test_a_watcher_that_fails_to_prepare_rolls_back(db, witness):
    told, owner = Told(db), uuid7()

    class Failing(Told):
        async def prepare(self, session, names):  # noqa: ARG002
            raise ConnectionRefusedError("cache")

    failing = Failing(db)
    with pytest.raises(ConnectionRefusedError):
        async with db.write(owner) as session:
            told.hook(session)
    assert told.heard == [
        ("prepare", NAMES, "a"),
        ("aborted", NAMES, False),
        "after rollback",
    ]
    assert failing.heard == [("aborted", NAMES, False)]
    assert await exists(witness, owner) == 0


async def test_what_the_server_refuses_at_commit_is_a_known_rollback(db, witness):
    await witness.execute(AT_COMMIT.format(body="RAISE EXCEPTION 'too late'"))
    told, owner = Told(db), uuid7()
    with pytest.raises(DBAPIError, match="too late"):
        async with db.write(owner) as session:
            told.hook(session)
    assert told.heard[1:] == [("aborted", NAMES, False), "after rollback"]
    assert await exists(witness, owner) == 0


async def test_names_of_a_rollback_inside_the_block_are_forgotten(db):
    told = Told(db)
    async with db.write(uuid7()) as session:
        told.hook(session)
        await session.flush()
        await session.rollback()
        assert told.heard == ["after rollback"]
    assert told.heard == ["after rollback"]


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError("a hook"), asyncpg.SerializationError("a hook"), ValueError("a hook")],
    ids=lambda each: type(each).__name__,
)
async def test_every_hook_is_called_even_when_one_fails(db, witness, error):
    told, owner, calls = Told(db), uuid7(), 0

    def fail():
        raise error

    async def work(session):
        nonlocal calls
        calls += 1
        session.after_commit(fail)
        told.hook(session)

    with pytest.raises(type(error), match="a hook"):
        await db.run(owner, work)
    assert told.heard[-1] == "after commit"
    assert (calls, await exists(witness, owner)) == (1, 1)


@pytest.mark.parametrize(
    ("cut", "rows"),
    [(Cut.BEFORE_COMMIT_ARRIVES, 0), (Cut.BEFORE_COMMIT_IS_ANSWERED, 1)],
    ids=lambda each: getattr(each, "value", str(each)),
)
async def test_a_connection_that_breaks_during_commit_leaves_the_outcome_unknown(
    millions_directory, witness, cut, rows
):
    async with Relay(millions_directory.database.shards[0].primary) as relay:
        db = Database()
        await db.open(redirected(millions_directory, Endpoint(host="127.0.0.1", port=relay.port)))
        told, owner, calls = Told(db), uuid7(), 0

        async def work(session):
            nonlocal calls
            calls += 1
            told.hook(session)

        relay.cut = cut
        with pytest.raises(CommitUnknownError, match="COMMIT was under way"):
            await db.run(owner, work)
        relay.cut = Cut.NEVER
        assert told.heard[1:] == [("aborted", NAMES, True), "after rollback"]
        assert calls == 1, "an unknown commit was repeated"

        async def settled():
            return await exists(witness, owner) == rows

        await eventually(settled, within_s=5)
        async with db.write(owner) as session:
            assert await session.scalar(text("SELECT 1")) == 1
        await db.close()


async def test_a_backend_killed_during_commit_leaves_the_outcome_unknown(db, witness):
    body = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)"
    await witness.execute(AT_COMMIT.format(body=body))
    told, owner = Told(db), uuid7()
    with pytest.raises(CommitUnknownError):
        async with db.write(owner) as session:
            told.hook(session)
    assert told.heard[1:] == [("aborted", NAMES, True), "after rollback"]
    assert await exists(witness, owner) == 0


async def test_a_caller_cancelled_during_commit_still_learns_its_outcome(db, witness):
    await witness.execute(AT_COMMIT.format(body="PERFORM pg_advisory_xact_lock(7)"))
    await witness.execute("SELECT pg_advisory_lock(7)")
    told, owner = Told(db), uuid7()

    async def work():
        async with db.write(owner) as session:
            told.hook(session)

    task = asyncio.ensure_future(work())

    async def committing():
        return await witness.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query = 'COMMIT' AND state = 'active' AND datname = current_database()"
        )

    await eventually(committing, within_s=5)
    task.cancel()
    await witness.execute("SELECT pg_advisory_unlock(7)")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.heard[1:] == [("committed", NAMES), "after commit"]
    assert await exists(witness, owner) == 1


async def let_commits_wait(superuser, server):
    """Let commits wait for a replica that there is not."""
    await superuser.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await superuser.execute("SELECT pg_reload_conf()")

    async def is_set():
        shown = "SHOW synchronous_standby_names"
        return await asyncio.to_thread(server.sql, shown) == "nobody"

    await eventually(is_set)
    await superuser.execute("CHECKPOINT")  # whose process reads it first; commits wait from then on


async def test_a_commit_whose_wait_for_a_replica_was_cancelled_is_unknown(fragile, fragile_server):
    """The server answers such a COMMIT with success and a WARNING; the row is on no replica."""
    db = Database()
    await db.open(fragile)
    told, owner = Told(db), uuid7()
    place = fragile.database
    superuser = await asyncpg.connect(
        host="127.0.0.1",
        port=fragile_server.port,
        user=place.user,
        password=fragile_server.password,
        database=place.name,
    )
    await superuser.execute("SET synchronous_commit = local")
    await let_commits_wait(superuser, fragile_server)

    async def waits():
        return await superuser.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )

    async def work():
        async with db.write(owner) as session:
            told.hook(session)

    task = asyncio.ensure_future(work())
    try:
        await superuser.execute("SELECT pg_cancel_backend($1)", await eventually(waits))
        with pytest.raises(CommitUnknownError, match="replica"):
            await task
    finally:
        await superuser.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await superuser.execute("SELECT pg_reload_conf()")
    assert told.heard[1:] == [("aborted", NAMES, True), "after rollback"]
    assert await exists(superuser, owner) == 1
    await superuser.close()
    await db.close()
