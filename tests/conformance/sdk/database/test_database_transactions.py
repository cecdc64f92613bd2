# ruff: noqa: PT012  # leaving the block is what raises
"""A block is one transaction: all of it happens, or none, and the caller learns which."""

from __future__ import annotations

import asyncio

import pytest
from album import Country, Draft, Photo
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from millions.errors import NotRoutableError, SdkError, UnavailableError
from millions.sdk.database import Database
from millions.sdk.identifiers import uuid7
from millions.sdk.sharding import REFERENCE
from millions.testing import eventually


async def titles(db, owner):
    async with db.read(owner) as session:
        found = await session.scalars(
            select(Photo.title).where(Photo.owner_id == owner).order_by(Photo.title)
        )
        return found.all()


async def test_a_block_that_ends_well_is_committed(db):
    owner = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(owner_id=owner, title="a"))
    assert await titles(db, owner) == ["a"]


async def test_an_error_that_leaves_the_block_rolls_everything_back(db):
    owner = uuid7()
    with pytest.raises(ZeroDivisionError):
        async with db.write(owner) as session:
            session.add(Photo(owner_id=owner, title="a"))
            await session.flush()
            _ = 1 / 0
    assert await titles(db, owner) == []


async def test_a_swallowed_failure_is_not_reported_as_a_commit(db):
    owner = uuid7()
    with pytest.raises(SdkError, match="swallowed"):
        async with db.write(owner) as session:
            await session.execute(insert(Photo).values(owner_id=owner, title="a"))
            with pytest.raises(DBAPIError):
                await session.execute(text("SELECT 1/0"))
    assert await titles(db, owner) == []


async def test_a_savepoint_keeps_what_was_done_around_it(db):
    owner, twice = uuid7(), uuid7()
    async with db.write(owner) as session:
        session.add(Photo(owner_id=owner, id=twice, title="kept"))
        await session.flush()
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(insert(Photo).values(owner_id=owner, id=twice))
    assert await titles(db, owner) == ["kept"]


async def test_a_commit_in_the_middle_is_refused_and_nothing_is_written(db):
    owner = uuid7()
    with pytest.raises(SdkError, match="in the middle of a block"):
        async with db.write(owner) as session:
            session.add(Photo(owner_id=owner, title="a"))
            await session.commit()
    assert await titles(db, owner) == []


async def test_after_a_rollback_the_block_goes_on_in_a_new_transaction(db):
    owner = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(owner_id=owner, title="undone"))
        await session.flush()
        await session.rollback()
        session.add(Photo(owner_id=owner, title="kept"))
    assert await titles(db, owner) == ["kept"]


async def test_a_rollback_does_not_make_a_reading_block_writable(db):
    owner = uuid7()
    with pytest.raises(DBAPIError, match="read-only"):
        async with db.read(owner) as session:
            await session.execute(select(Photo))
            await session.rollback()
            await session.execute(insert(Photo).values(owner_id=owner))


async def test_a_block_without_a_statement_leaves_no_transaction_open(db, witness):
    for block in (db.write(uuid7()), db.read(uuid7())):
        async with block:
            pass

    async def all_idle():
        states = await witness.fetch(
            "SELECT state FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> 'witness'"
        )
        return bool(states) and all(row["state"] == "idle" for row in states)

    await eventually(all_idle, within_s=5)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable", "read committed"])
async def test_a_block_has_the_isolation_asked_for(db, isolation):
    for block in (db.write(uuid7(), isolation=isolation), db.read(uuid7(), isolation=isolation)):
        async with block as session:
            found = await session.scalar(text("SHOW transaction_isolation"))
            assert found == isolation


async def test_an_unknown_isolation_is_refused(db):
    with pytest.raises(ValueError, match="isolation"):
        db.write(uuid7(), isolation="snapshot; DROP TABLE photos")


async def test_reading_refuses_a_statement_that_writes(db):
    owner = uuid7()
    for statement in (
        insert(Photo).values(owner_id=owner),
        delete(Photo).where(Photo.owner_id == owner),
        text("CREATE TABLE leak (a int)"),
    ):
        with pytest.raises(DBAPIError, match="read-only"):
            async with db.read(owner) as session:
                await session.execute(statement)


async def test_reading_refuses_an_object_that_was_added(db):
    with pytest.raises(NotRoutableError, match=r"db\.read is for reading"):
        async with db.read(uuid7()) as session:
            session.add(Photo(title="lost"))


async def test_reading_refuses_an_object_that_was_changed(db):
    owner = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(title="a"))
    with pytest.raises(NotRoutableError, match="update"):
        async with db.read(owner) as session:
            photo = (await session.scalars(select(Photo).where(Photo.owner_id == owner))).one()
            photo.title = "b"
    assert await titles(db, owner) == ["a"]


async def test_reading_refuses_to_invalidate(db):
    async with db.read(uuid7()) as session:
        with pytest.raises(NotRoutableError, match="user:7"):
            session.invalidates("user:7")


async def test_a_row_of_another_key_is_refused(db):
    mine, other = uuid7(), uuid7()
    with pytest.raises(NotRoutableError, match="owner_id"):
        async with db.write(mine) as session:
            session.add(Photo(owner_id=other))
    assert await titles(db, other) == []


async def test_a_row_without_a_key_gets_the_key_of_its_block(db):
    owner = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(title="a"))
    assert await titles(db, owner) == ["a"]


async def test_a_row_may_not_change_its_key(db):
    owner = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(title="a"))
    with pytest.raises(NotRoutableError, match="update"):
        async with db.write(owner) as session:
            photo = (await session.scalars(select(Photo).where(Photo.owner_id == owner))).one()
            photo.owner_id = uuid7()
    assert await titles(db, owner) == ["a"]


async def test_a_row_of_another_key_is_not_deleted(db):
    owner = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(title="a"))
    async with db.read(owner) as session:
        photo = (await session.scalars(select(Photo).where(Photo.owner_id == owner))).one()
    with pytest.raises(NotRoutableError, match="delete"):
        async with db.write(uuid7()) as session:
            await session.delete(photo)
    assert await titles(db, owner) == ["a"]


async def test_reference_data_is_written_with_reference_only(db):
    with pytest.raises(NotRoutableError, match="REFERENCE"):
        async with db.write(uuid7()) as session:
            session.add(Country(code="CH"))
    async with db.write(REFERENCE) as session:
        session.add(Country(code="CH"))
    async with db.read(uuid7()) as session:
        assert await session.scalar(select(Country.code)) == "CH"


async def test_a_sharded_row_is_not_written_with_reference(db):
    owner = uuid7()
    with pytest.raises(NotRoutableError, match=r"db\.write"):
        async with db.write(REFERENCE) as session:
            session.add(Photo(owner_id=owner))


async def test_a_table_that_declares_nothing_is_left_alone(db):
    async with db.write(uuid7()) as session:
        session.add(Draft())


@pytest.mark.parametrize("key", [None, 1.5, True, b"7"], ids=repr)
async def test_what_is_no_key_is_refused(db, key):
    for begin in (db.read, db.write):
        with pytest.raises(NotRoutableError, match="type"):
            begin(key)


async def test_a_database_that_is_not_open_says_so():
    db = Database()
    for use in (lambda: db.write("a"), lambda: db.read("a"), db.pool):
        with pytest.raises(UnavailableError, match="not open"):
            use()
    with pytest.raises(UnavailableError, match="not open"):
        await db.run("a", lambda _: asyncio.sleep(0))
    with pytest.raises(UnavailableError, match="not open"):
        await db.scatter(select(Photo.title))


async def test_objects_can_be_used_after_their_block(db):
    owner = uuid7()
    async with db.write(owner) as session:
        photo = Photo(title="a")
        session.add(photo)
    assert (photo.owner_id, photo.title, photo.views) == (owner, "a", 0)


async def test_a_block_without_a_free_connection_gives_up_in_time(millions_directory):
    db = Database(checkout_s=0.2)
    await db.open(millions_directory)
    size = millions_directory.database.pool_size
    held = [db.read(uuid7()) for _ in range(size)]
    for block in held:
        await block.__aenter__()
    with pytest.raises(UnavailableError, match=f"all {size} were in use"):
        async with db.read(uuid7()):
            pass
    for block in held:
        await block.__aexit__(None, None, None)
    async with db.read(uuid7()) as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await db.close()


async def test_blocks_get_a_connection_in_the_order_they_came(millions_directory):
    db = Database(checkout_s=30)
    await db.open(millions_directory)
    size = millions_directory.database.pool_size
    blocks = [db.read(uuid7()) for _ in range(size)]
    for block in blocks:  # all are open: who has to wait for a new one comes late
        await block.__aenter__()
    for block in blocks:
        await block.__aexit__(None, None, None)
    stop, rounds = asyncio.Event(), dict.fromkeys(range(3 * size), 0)

    async def greedy(number):  # gives its connection back and asks again at once
        while not stop.is_set():
            async with db.read(uuid7()) as session:
                await session.scalar(text("SELECT 1"))
            rounds[number] += 1

    async with asyncio.TaskGroup() as group:
        for number in rounds:
            group.create_task(greedy(number))
        await eventually(lambda: max(rounds.values()) >= 20, within_s=30)
        stop.set()
    assert max(rounds.values()) - min(rounds.values()) <= 2
    await db.close()
