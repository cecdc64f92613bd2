"""Blocks on the only server wait while its restart is near, and go on when it is over."""

import asyncio
import dataclasses

from sqlalchemy import text

from millions.directory import Directory
from millions.sdk import nouns

TIMES = 400
STEP_S, STEPS = 0.0001, 130


def held(directory: Directory, *, epoch: int) -> Directory:
    place = directory.database
    shards = tuple(dataclasses.replace(each, held=True) for each in place.shards)
    place = dataclasses.replace(place, shards=shards)
    return dataclasses.replace(directory, epoch=epoch, database=place)


async def one() -> int | None:
    async with nouns.db.write("ann") as session:
        return await session.scalar(text("SELECT 1"))


async def test_a_block_begins_once_the_only_server_is_held_no_more(
    millions_directory: Directory,
) -> None:
    async with nouns.running(millions_directory):
        assert await one() == 1
        await nouns.follow(held(millions_directory, epoch=2))
        begun = asyncio.create_task(one())
        done, _ = await asyncio.wait([begun], timeout=0.5)
        assert not done
        await nouns.follow(dataclasses.replace(millions_directory, epoch=3))
        assert await asyncio.wait_for(begun, 5) == 1
        assert await one() == 1


async def test_a_block_that_began_before_ends_as_ever(millions_directory: Directory) -> None:
    async with nouns.running(millions_directory), nouns.db.write("ann") as session:
        assert await session.scalar(text("SELECT 1")) == 1
        await nouns.follow(held(millions_directory, epoch=2))
        assert await session.scalar(text("SELECT 2")) == 2


async def test_a_block_that_waits_for_a_connection_meanwhile_does_not_begin(
    millions_directory: Directory,
) -> None:
    place = dataclasses.replace(millions_directory.database, pool_size=1)
    directory = dataclasses.replace(millions_directory, database=place)
    async with nouns.running(directory):
        async with nouns.db.write("ann") as session:
            await session.scalar(text("SELECT 1"))
            waiting = asyncio.create_task(one())
            await asyncio.sleep(0.1)
            await nouns.follow(held(directory, epoch=2))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        await nouns.follow(dataclasses.replace(directory, epoch=3))
        assert await asyncio.wait_for(waiting, 5) == 1


async def test_a_block_goes_on_however_often_it_is_held_meanwhile(
    millions_directory: Directory,
) -> None:
    async with nouns.running(millions_directory), nouns.db.write("ann") as session:
        for number in range(TIMES):
            await nouns.follow(held(millions_directory, epoch=2))
            await asyncio.sleep(number % STEPS * STEP_S)  # when a watch may hear
            await nouns.follow(millions_directory)
            assert await session.scalar(text("SELECT 1")) == 1
