"""The embedded form of sorted lists, without the repeating that would hide a deadlock."""

import asyncio
import random

import pytest

from millions.sdk.store import Scored
from millions.sdk.store.rows import alone
from millions.sdk.store.sorted_rows import RowLists
from millions.sdk.store.tables import RowDocuments
from millions.testing import eventually


class Once:
    """Runs a statement once."""

    def __init__(self, pool):
        self._pool = pool

    async def run(self, sql, *arguments, **_how):
        return await self._pool.fetch(sql, *arguments, timeout=5)


@pytest.fixture
def lists(embedded, database):
    """Lists that are trimmed each time."""
    return RowLists(Once(database.pool()), chance=lambda: 0.0)


async def test_who_adds_and_trims_waits_for_nobody_in_a_ring(lists):
    keys = [f"feed:{n}" for n in range(50)]

    async def post(author):
        for n in range(30):
            chosen = sorted(random.sample(keys, 40))
            await lists.add_to_many(chosen, Scored(member=f"{author}:{n % 3}", score=n), 5, None)

    await asyncio.gather(*(post(author) for author in range(8)))


async def test_two_who_add_or_remove_the_same_members_wait_in_one_order(lists):
    members = [f"member:{n}" for n in range(300)]

    async def change(author):
        for n in range(40):
            mixed = random.sample(members, len(members))
            await lists.add("feed", dict.fromkeys(mixed, author + n / 100), None)
            await lists.remove("feed", random.sample(members, 200), None)

    await asyncio.gather(*(change(author) for author in range(8)))


async def test_who_deletes_a_list_waits_in_the_order_of_who_adds(lists, database):
    documents = RowDocuments(Once(database.pool()))
    members = [f"member:{n:03}" for n in range(300)]

    async def add(author):
        for n in range(40):
            await lists.add("feed", dict.fromkeys(members, author + n / 100), None)

    async def delete():
        for _ in range(40):
            await documents.delete("feed", None)
            await lists.add("feed", dict.fromkeys(reversed(members[::2]), 1.0), None)

    await asyncio.gather(*(add(author) for author in range(3)), delete(), delete())


async def test_a_member_that_is_being_moved_is_not_trimmed(lists, database):
    await lists.add("feed", {f"{n:02}": n for n in range(10)}, None)
    async with database.pool().acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE millions.sorted_items SET score = 100 WHERE key = 'feed' AND member = '00'"
        )
        removed = await lists.trim("feed", 5, None)
    newest = [item.member for item in await lists.range("feed", 100, None, None)]
    assert removed == 4
    assert newest == ["00", "09", "08", "07", "06", "05"]


class Cancelling:
    """A connection on which whoever asks for a lock is given it, and cancelled at once."""

    def __init__(self, connection):
        self._connection = connection
        self.terminate = connection.terminate

    async def fetchval(self, sql, *arguments):
        await self._connection.fetchval(sql, *arguments)
        raise asyncio.CancelledError


async def test_a_lock_that_was_given_to_who_was_cancelled_is_free_again(database):
    async with database.pool().acquire() as connection:
        with pytest.raises(asyncio.CancelledError):
            async with alone(Cancelling(connection), 4711):
                raise AssertionError

    async def free():
        async with database.pool().acquire() as other, alone(other, 4711) as got:
            return got

    assert await eventually(free, within_s=5)
