"""What the broker does to events when it comes, dies, freezes and comes back."""

import asyncio
import dataclasses
import signal

import pytest

from millions.errors import UnavailableError
from millions.sdk.events import Events, noun
from millions.testing import eventually


async def publishing(process, stop, published):
    """Publish without a pause until told to stop."""
    while not stop.is_set():
        number = len(published)
        await process.events.publish("x", number)
        published.append(number)
        await asyncio.sleep(0)


async def test_a_broker_that_is_away_at_first_costs_nobody_a_wait(broker, opens, events_directory):
    place = dataclasses.replace(events_directory, queue=broker.place)
    one = await opens(place)
    broker.stop()
    await eventually(lambda: not one.events._link.connected, within_s=20)
    await one.listens("x")
    await one.events.publish("x", 1)
    await eventually(lambda: one.data() == [1])


async def test_every_event_is_heard_or_told_as_missed_while_the_broker_is_killed(
    broker, opens, distributed
):
    one, other = await opens(distributed), await opens(distributed)
    await other.listens("x")
    stop, published = asyncio.Event(), []
    task = asyncio.create_task(publishing(one, stop, published))
    await eventually(lambda: len(other.heard) > 200)
    broker.stop()
    await eventually(lambda: other.missed, within_s=20)
    during = len(published)
    await eventually(lambda: len(published) > during + 200)
    last = published[-1]
    await eventually(lambda: last in other.data(), within_s=20)
    stop.set()
    await task
    await eventually(lambda: other.data()[-1] == published[-1])
    lost = set(published) - set(other.data())
    assert len(other.data()) == len(set(other.data()))
    at = [number for number, each in enumerate(other.heard) if each.missed]
    if lost:  # all of them before the last word that some were missed
        after = other.data()[-1]
        assert at
        assert max(lost) < after
    broker.start()
    await one.connected()
    await other.connected()
    await one.events.publish("x", "back")
    await eventually(lambda: "back" in other.data())


async def test_a_frozen_broker_is_noticed_and_gone_around(broker, opens, distributed):
    one, other = await opens(distributed), await opens(distributed)
    await other.listens("x")
    broker.send(signal.SIGSTOP)
    try:
        await one.events.publish("x", "into the ice")
        await eventually(lambda: other.missed, within_s=30)
        await eventually(lambda: not one.events._link.connected, within_s=30)
        await one.events.publish("x", "around")
        await eventually(lambda: "around" in other.data(), within_s=20)
    finally:
        broker.send(signal.SIGCONT)


async def test_no_event_is_missed_while_processes_go_over_to_a_broker_one_after_the_other(
    events_directory, distributed, opens, monkeypatch
):
    monkeypatch.setattr(noun, "BOTH_WAYS_S", 10.0)  # the other one follows within it
    one, other = await opens(events_directory), await opens(events_directory)
    await other.listens("x")
    stop, published = asyncio.Event(), []
    task = asyncio.create_task(publishing(one, stop, published))
    for place in (distributed, events_directory):
        before = len(published)
        await one.events.follow(place)
        await eventually(lambda before=before: len(published) > before + 50)
        await other.events.follow(place)
        await eventually(lambda before=before: len(published) > before + 150)
    stop.set()
    await task
    await eventually(lambda: len(other.data()) == len(published), within_s=20)
    assert other.data() == published


class Silent:
    """A database that takes a statement and never answers, nor ends the wait."""

    def pool(self):
        return self

    async def execute(self, *_statement, **_limit):
        await asyncio.Event().wait()


async def test_closing_waits_a_bounded_time_for_a_database_that_never_answers(
    events_directory, monkeypatch
):
    monkeypatch.setattr(noun, "CLOSE_LIMIT_S", 0.1)
    events = Events(Silent())
    await events.open(events_directory)
    publishing = [asyncio.create_task(events.publish("x", n)) for n in range(noun.BATCH_MAX + 1)]
    await eventually(lambda: events._writing is not None)
    await asyncio.wait_for(events.close(), 10)
    for each in publishing:
        with pytest.raises(UnavailableError, match="events was closed"):
            await asyncio.wait_for(each, 10)


async def test_who_publishes_or_changes_what_it_hears_waits_a_bounded_time_for_a_frozen_broker(
    broker, opens, distributed
):
    one = await opens(distributed)
    link = one.events._link
    broker.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):
            for _ in range(20):
                await link.publish("x", b"x" * 1_000_000)
        await asyncio.wait_for(link.want(f"n{number}" for number in range(2_000)), 20)
        await asyncio.wait_for(link.want([]), 20)
    finally:
        broker.send(signal.SIGCONT)
