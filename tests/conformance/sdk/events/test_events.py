"""Events reach everybody who listens, once, with the commit; what was missed is told."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from millions.errors import EventError, UnavailableError
from millions.sdk.events import Events
from millions.testing import eventually


async def test_every_process_that_listens_hears_each_event_once(process, another_process):
    others = [await another_process() for _ in range(2)]
    for each in (process, *others):
        await each.listens("photo.uploaded")
        await each.listens("photo.>", "photo.*")
    for number in range(50):
        await process.events.publish("photo.uploaded", number)
    for each in (process, *others):
        await eventually(lambda each=each: len(each.heard) == 100)
        assert sorted(each.data()) == sorted([*range(50)] * 2)
        assert each.missed == 0


async def test_who_gives_up_joining_leaves_nothing_behind(process, monkeypatch):
    events = process.events
    began = asyncio.Event()

    async def never():
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(events, "_want", never)

    async def joins():
        async with events.subscribe("photo.>"):
            pass

    joining = asyncio.create_task(joins())
    await began.wait()
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert not events._subscriptions


async def test_events_of_one_publisher_come_in_their_order(process, another_process):
    other = await another_process()
    await other.listens("n")
    for number in range(200):
        await process.events.publish("n", number)
    await eventually(lambda: len(other.heard) == 200)
    assert other.data() == [*range(200)]


async def test_an_event_belongs_to_the_transaction(process, another_process):
    other = await another_process()
    await other.listens(">")

    async def undone():
        async with process.db.write("user-1") as session:
            await process.events.publish("undone", session=session)
            raise LookupError

    with pytest.raises(LookupError):
        await undone()
    async with process.db.write("user-1") as session:
        await process.events.publish("done", session=session)
        await process.events.publish("at.once")
        await eventually(lambda: [each.name for each in other.heard] == ["at.once"])
    await eventually(lambda: [each.name for each in other.heard] == ["at.once", "done"])


async def test_data_keeps_its_types_and_an_event_says_when_it_was_published(process):
    data = {"id": uuid4(), "at": datetime.now(UTC), "bytes": b"\0", "list": [1, None, "ü"]}
    await process.listens("typed")
    await process.events.publish("typed", data)
    await eventually(lambda: process.data() == [data])
    assert abs(process.heard[0].published_at_s - datetime.now(UTC).timestamp()) < 60
    assert process.heard[0].id


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [
        pytest.param("a.b", ["a.b"], id="a name"),
        pytest.param("a.*", ["a.b", "a.c"], id="one word"),
        pytest.param("*.b", ["a.b"], id="one word before"),
        pytest.param("a.>", ["a.b", "a.c", "a.b.c"], id="one word or more"),
        pytest.param(">", ["a", "a.b", "a.c", "a.b.c", "z"], id="all"),
    ],
)
async def test_patterns_choose(process, another_process, pattern, heard):
    other = await another_process()
    await other.listens(pattern)
    for name in ("a", "a.b", "a.c", "a.b.c", "z"):
        await process.events.publish(name)
    await other.listens("last")
    await process.events.publish("last")
    await eventually(lambda: other.heard and other.heard[-1].name in {"last", heard[-1]})
    await eventually(lambda: [e.name for e in other.heard if e.name != "last"] == heard)


async def test_who_has_left_hears_nothing_and_costs_nothing(process):
    async with process.events.subscribe("x") as heard:
        await process.events.publish("x", 1)
        assert (await anext(aiter(heard))).data == 1
    await process.events.publish("x", 2)
    assert process.events._listening is None
    assert process.events._subscriptions == []


async def test_a_slow_reader_is_told_that_it_missed_some_and_keeps_nobody_waiting(process):
    async with process.events.subscribe("x", room=3) as heard:
        for number in range(20):
            await process.events.publish("x", number)
        await process.listens("end")
        await process.events.publish("end", "end")
        await eventually(lambda: process.data() == ["end"])
        reader = aiter(heard)
        found = [await anext(reader) for _ in range(4)]
        assert [each.data for each in found[:3]] == [0, 1, 2]
        assert found[3].missed
        await process.events.publish("x", "again")
        assert (await anext(reader)).data == "again"


async def test_a_lost_connection_to_the_database_is_told_and_healed(process, another_process):
    other = await another_process()
    await other.listens("x")
    ended = await process.db.pool().fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE (query LIKE 'LISTEN%millions_events%' OR query = 'SELECT 1')"
        " AND pid <> pg_backend_pid() AND datname = current_database()"
    )
    assert ended
    await eventually(lambda: other.missed)
    await process.events.publish("x", "after")
    await eventually(lambda: other.data() == ["after"])


@pytest.mark.parametrize(
    ("name", "data", "because"),
    [
        pytest.param("", None, "it has no name", id="no name"),
        pytest.param("a..b", None, "the name is 'a..b'", id="an empty word"),
        pytest.param("a.*", None, "the name is 'a.*'", id="a pattern"),
        pytest.param("a b", None, "the name is 'a b'", id="a space"),
        pytest.param("a", "x" * 8000, "the bound is 7000", id="too large"),
        pytest.param("a", object(), "is of type", id="no data"),
    ],
)
async def test_what_cannot_travel_is_refused_at_once(process, name, data, because):
    with pytest.raises(EventError) as caught:
        await process.events.publish(name, data)
    assert because in str(caught.value)


@pytest.mark.parametrize("pattern", ["", "a..b", ">.a", "a.>.b", "ab*", "a b"])
def test_what_is_no_pattern_is_refused(process, pattern):
    with pytest.raises(EventError):
        process.events.subscribe(pattern)


async def test_who_is_not_open_says_so(process):
    with pytest.raises(UnavailableError):
        await Events(process.db).publish("x")


async def test_many_at_once_are_published_together(process, another_process):
    other = await another_process()
    await other.listens("x")
    await asyncio.gather(*(process.events.publish("x", number) for number in range(300)))
    await eventually(lambda: len(other.heard) == 300)
    assert sorted(other.data()) == [*range(300)]


async def test_its_listening_is_named_by_its_channel(process):
    await process.listens("x")
    names = [each.get_name() for each in asyncio.all_tasks()]
    assert names.count("listening millions_events") == 1
