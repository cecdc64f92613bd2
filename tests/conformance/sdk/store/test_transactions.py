"""Laws of the embedded form alone: a write may belong to the caller's transaction."""

import uuid

import pytest

from millions.sdk.store import ABSENT
from millions.testing import eventually


@pytest.fixture
def store(embedded):
    return embedded


class RolledBackError(Exception):
    pass


async def write_all(store, session):
    await store.put("document", 1, session=session)
    await store.increment("counter", session=session)
    await store.sorted("list").add("member", 1, session=session)
    await store.add_to_many(["many:1", "many:2"], "member", 1, keep=5, session=session)


async def seen(store):
    return (
        await store.get("document") is not None,
        await store.count("counter"),
        await store.sorted("list").size(),
        await store.sorted("many:2").size(),
    )


async def test_writes_in_a_transaction_take_effect_with_its_commit(store, database):
    async with database.write(uuid.uuid4()) as session:
        await write_all(store, session)
        assert await seen(store) == (False, 0, 0, 0)
    assert await seen(store) == (True, 1, 1, 1)


async def test_writes_in_a_transaction_go_with_its_rollback(store, database):
    async def write(session):
        await write_all(store, session)
        raise RolledBackError

    with pytest.raises(RolledBackError):
        await database.run(uuid.uuid4(), write)
    assert await seen(store) == (False, 0, 0, 0)


async def test_a_delete_in_a_transaction_goes_with_its_rollback(store, database):
    async def write(session):
        assert await store.delete("document", session=session) is True
        raise RolledBackError

    await store.put("document", 1)
    with pytest.raises(RolledBackError):
        await database.run(uuid.uuid4(), write)
    assert await store.get("document") is not None


async def rows(database, table):
    return await database.pool().fetchval(f"SELECT count(*) FROM millions.{table}")


async def test_sweeping_deletes_what_is_over_and_nothing_else(store, database):
    for n in range(30):
        await store.put(f"short:{n}", n, ttl_s=0.05)
        await store.increment(f"window:{n}", ttl_s=0.05)
    await store.put("long", 1, ttl_s=600)
    await store.put("for ever", 1)
    await store.increment("for ever")
    swept = 0

    async def all_swept():
        nonlocal swept
        swept += await store.sweeping.sweep()
        return swept == 60

    await eventually(all_swept, within_s=5)
    assert await rows(database, "documents") == 2
    assert await rows(database, "counters") == 1


async def test_sweeping_is_bounded_by_batches(store, database):
    await database.pool().execute(
        "INSERT INTO millions.documents SELECT 'old:' || n, '1', n, now() - interval '1 s' "
        "FROM generate_series(1, 2500) AS n"
    )
    assert await store.sweeping.sweep() == 2500
    assert await rows(database, "documents") == 0


async def test_one_process_sweeps_at_a_time(store, database):
    await database.pool().execute(
        "INSERT INTO millions.documents VALUES ('old', '1', 1, now() - interval '1 s')"
    )
    async with database.pool().acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", 0x73776570)
        assert await store.sweeping.sweep() == 0
    assert await store.sweeping.sweep() == 1


async def test_a_key_that_is_over_but_not_swept_can_be_made_anew(store, database):
    await database.pool().execute(
        "INSERT INTO millions.documents VALUES ('old', '1', 1, now() - interval '1 s')"
    )
    assert await store.get("old") is None
    assert await store.put("old", 2, if_version=ABSENT) > 0
    assert await store.sweeping.sweep() == 0
