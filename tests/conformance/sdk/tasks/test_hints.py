"""A hint wakes one worker that has room, at once; one that is lost delays a task by a poll."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from millions.sdk.tasks import wake
from millions.sdk.tasks import worker as workers
from millions.sdk.tasks.wake import Hints, _payloads
from millions.testing import eventually

POLL_AND_SLACK_S = 15
"""A poll takes 2 s at most; a busy machine may take longer."""


def counted(process, monkeypatch):
    """Counts how often the worker of `process` asks the database for tasks."""
    lane, asked = process.tasks._wake._listeners[0]._lane, []
    exchange = lane.exchange

    async def counting(done, lines, wanted):
        found = await exchange(done, lines, wanted)
        if wanted:
            asked.append(wanted)
        return found

    monkeypatch.setattr(lane, "exchange", counting)
    return asked


async def working(process, stack):
    """A worker in `process`, which counts what it ran."""
    record = process.recorder()
    await stack.enter_async_context(process.tasks.worker(concurrency=2))
    return record


@pytest.fixture
async def stack():
    async with AsyncExitStack() as opened:
        yield opened


async def test_tasks_of_others_run_at_once_without_a_poll(process, another_process, stack):
    others = [await another_process() for _ in range(3)]
    for each in others:
        await working(each, stack)
    record = process.recorder()
    began_s = time.monotonic()
    for number in range(40):
        await record.enqueue(number)
        await eventually(lambda number=number: sum(each.ran[number] for each in others) == 1)
    assert time.monotonic() - began_s < 40, "two seconds each if they waited for polls"
    assert sum(sum(each.ran.values()) for each in others) == 40


async def test_one_task_makes_few_workers_ask_the_database(
    process, another_process, stack, monkeypatch
):
    others = [await another_process() for _ in range(4)]
    for each in others:
        await working(each, stack)
    asked = [counted(each, monkeypatch) for each in others]
    record = process.recorder()
    for number in range(30):
        await record.enqueue(number)
        await eventually(lambda number=number: sum(each.ran[number] for each in others) == 1)
    assert sum(map(len, asked)) < 30 * len(others) * 0.75, "not every worker, for each task"


async def test_what_one_has_no_room_for_is_handed_on_until_all_work(
    process, another_process, stack
):
    others = [await another_process() for _ in range(3)]
    release, running = asyncio.Event(), []
    for each in others:

        async def hold(_number, each=each):
            running.append(each)
            await release.wait()

        each.tasks.task(name="hold")(hold)
        await stack.enter_async_context(each.tasks.worker(concurrency=2))
    task = process.tasks.task(name="hold")(hold)
    await process.tasks.enqueue_many(task, [(number,) for number in range(6)])
    await eventually(lambda: len(running) == 6)
    release.set()
    await process.nothing_left()


async def test_a_lost_hint_delays_a_task_by_a_poll(process, another_process, stack, monkeypatch):
    other = await another_process()
    await working(other, stack)
    record = process.recorder()
    monkeypatch.setattr(process.tasks._wake, "_send_soon", lambda: None)
    await record.enqueue("lost")
    await eventually(lambda: other.ran["lost"] == 1, within_s=POLL_AND_SLACK_S)


async def test_a_lost_hint_delays_a_task_by_the_longest_poll_at_most(
    process, another_process, stack, monkeypatch
):
    monkeypatch.setattr(workers.random, "uniform", lambda _least, most: most)
    other = await another_process()
    await working(other, stack)
    record = process.recorder()
    monkeypatch.setattr(process.tasks._wake, "_send_soon", lambda: None)
    polled, delays_s = counted(other, monkeypatch), []
    for number in range(3):
        before = len(polled)
        await eventually(lambda before=before: len(polled) > before, within_s=POLL_AND_SLACK_S)
        began_s = time.monotonic()
        await record.enqueue(number)
        await eventually(lambda number=number: other.ran[number] == 1, within_s=POLL_AND_SLACK_S)
        delays_s.append(time.monotonic() - began_s)
    assert max(delays_s) > 1.5, "no hint came: right after a poll one waits for the next"
    assert min(delays_s) < workers.POLL_S + 0.3, "a busy machine adds to some, not to all"


async def test_closing_waits_a_bounded_time_for_hints_that_a_database_never_takes(monkeypatch):
    class Silent:
        async def execute(self, *_statement, **_limit):
            await asyncio.Event().wait()

    monkeypatch.setattr(wake, "CLOSE_LIMIT_S", 0.1)
    hints = Hints(Silent)
    hints.announce("default", 1)
    sending = hints._sending
    await asyncio.sleep(0)
    await asyncio.wait_for(hints.close(), 10)
    await eventually(sending.cancelled)


def test_hints_for_very_many_queues_are_several_messages():
    hints = {f"{'q' * 60}{number}": number for number in range(500)}
    found = list(_payloads(2, hints))
    assert len(found) > 1
    assert max(map(len, found)) < 8000
    words = [word for each in found for word in each.removeprefix("2;").split(",")]
    assert words == [f"{queue}={count}" for queue, count in hints.items()]
