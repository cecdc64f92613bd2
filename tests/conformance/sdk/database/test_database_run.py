# ruff: noqa: PT012  # leaving the block is what raises
"""`db.run` repeats what did nothing, and never what may have happened."""

from __future__ import annotations

import asyncio

import pytest
from album import Photo
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from millions.sdk.identifiers import uuid7


async def a_photo(db):
    owner, photo = uuid7(), uuid7()
    async with db.write(owner) as session:
        session.add(Photo(id=photo, title="counted"))
    return owner, photo


async def views(db, owner):
    async with db.read(owner) as session:
        return await session.scalar(select(Photo.views).where(Photo.owner_id == owner))


async def kill(witness, session):
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    await witness.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)


async def test_it_answers_what_the_function_answers(db):
    assert await db.run(uuid7(), lambda session: session.scalar(text("SELECT 42"))) == 42


async def test_collisions_are_repeated_until_each_has_happened_once(db):
    owner, photo = await a_photo(db)

    async def look(session):
        seen = await session.scalar(select(Photo.views).where(Photo.owner_id == owner))
        await session.execute(
            update(Photo)
            .where(Photo.owner_id == owner, Photo.id == photo)
            .values(views=(seen or 0) + 1)
        )

    await asyncio.gather(
        *(db.run(owner, look, isolation="serializable", attempts=50) for _ in range(8))
    )
    assert await views(db, owner) == 8


async def test_a_deadlock_is_repeated(db):
    owner, first = await a_photo(db)
    second = uuid7()
    async with db.write(owner) as session:
        session.add(Photo(id=second, title="other"))
    meet = asyncio.Barrier(2)
    calls = 0

    async def touch(order):
        nonlocal calls
        waited = False

        async def work(session):
            nonlocal calls, waited
            calls += 1
            for number, photo in enumerate(order):
                if number == 1 and not waited:
                    waited = True
                    await meet.wait()
                await session.execute(
                    update(Photo)
                    .where(Photo.owner_id == owner, Photo.id == photo)
                    .values(views=Photo.views + 1)
                )

        await db.run(owner, work)

    await asyncio.gather(touch([first, second]), touch([second, first]))
    async with db.read(owner) as session:
        found = await session.scalars(select(Photo.views).where(Photo.owner_id == owner))
        assert found.all() == [2, 2]
    assert calls >= 3


async def test_a_killed_backend_is_repeated_on_another_connection(db, witness):
    owner, photo = await a_photo(db)
    calls = 0

    async def work(session):
        nonlocal calls
        calls += 1
        await session.execute(
            update(Photo)
            .where(Photo.owner_id == owner, Photo.id == photo)
            .values(views=Photo.views + 1)
        )
        if calls == 1:
            await kill(witness, session)
        await session.execute(text("SELECT 1"))

    await db.run(owner, work)
    assert (calls, await views(db, owner)) == (2, 1)


async def test_a_backend_killed_in_a_plain_block_is_an_error_and_a_known_rollback(db, witness):
    owner, undone = uuid7(), []
    with pytest.raises(DBAPIError):
        async with db.write(owner) as session:
            session.after_rollback(lambda: undone.append(True))
            session.add(Photo(title="lost"))
            await session.flush()
            await kill(witness, session)
            await session.execute(text("SELECT 1"))
    assert undone == [True]
    assert await views(db, owner) is None


@pytest.mark.parametrize(
    "error", [ValueError("no"), FileNotFoundError("a file"), TimeoutError("elsewhere")], ids=repr
)
async def test_an_error_of_the_function_itself_is_not_repeated(db, error):
    calls = 0

    async def work(_):
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await db.run(uuid7(), work)
    assert calls == 1


async def test_a_refused_statement_is_not_repeated(db):
    calls = 0

    async def work(session):
        nonlocal calls
        calls += 1
        await session.execute(text("SELECT 1/0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await db.run(uuid7(), work)
    assert calls == 1


async def test_it_gives_up_after_the_attempts_with_the_last_error(db):
    calls = 0

    async def work(session):
        nonlocal calls
        calls += 1
        await session.execute(
            text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")
        )

    with pytest.raises(DBAPIError, match="again"):
        await db.run(uuid7(), work, attempts=3)
    assert calls == 3


async def test_no_attempts_are_refused(db):
    with pytest.raises(ValueError, match="attempts"):
        await db.run(uuid7(), lambda session: session.flush(), attempts=0)
