"""What fails is tried again, then kept with its error; what hangs is ended; the worker lives on."""

import asyncio
import json
import sys
import threading

import pytest

from millions.sdk import requests
from millions.sdk.log import lines
from millions.sdk.tasks import TimeLimitExceeded, backoff
from millions.testing import eventually


async def hurry(process):
    """Make what waits due now."""
    await process.db.pool().execute("UPDATE millions.tasks SET due_at = now() WHERE state = 1")


async def dead(process, count=1):
    async def letters():
        await hurry(process)
        found = await process.tasks.dead()
        return found if len(found) == count else None

    return await eventually(letters)


async def test_a_task_that_raises_is_tried_again_later(process, monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_S", 30.0)  # it still waits when a busy machine looks
    attempts = []

    @process.tasks.task(name="flaky")
    async def flaky():
        attempts.append(process.tasks.current().attempt)
        if len(attempts) < 3:
            raise ValueError("not yet")

    await flaky.enqueue()
    async with process.tasks.worker():

        async def waits():
            return await process.rows("due_at - now() AS left", "state = 1 AND attempt = 1")

        left = (await eventually(waits))[0]["left"].total_seconds()
        assert 0 < left <= 30

        async def over():
            await hurry(process)
            return not await process.rows()

        await eventually(over)
    assert attempts == [1, 2, 3]


async def test_a_task_that_keeps_failing_becomes_a_dead_letter_with_its_error(process):
    runs = []

    @process.tasks.task(name="hopeless", retries=2)
    def hopeless(text):
        runs.append(text)
        raise ValueError(f"no way \0 \ud800 {text}")

    number = await hopeless.enqueue("x", key="k")
    async with process.tasks.worker():
        (letter,) = await dead(process)
    assert runs == ["x"] * 3
    assert (letter.id, letter.name, letter.attempts) == (number, "hopeless", 3)
    assert (letter.arguments, letter.key) == ('[1,["x"]]', "k")
    assert "ValueError: no way" in letter.error
    assert "in hopeless" in letter.error
    assert await process.rows() == []


async def test_a_dead_letter_can_be_tried_again_with_all_attempts(process):
    healed = False

    @process.tasks.task(name="patient", retries=0)
    async def patient():
        if not healed:
            raise ValueError("ill")

    number = await patient.enqueue()
    async with process.tasks.worker():
        await dead(process)
        healed = True
        assert await process.tasks.retry_dead(number)
        await process.nothing_left()
        assert await process.tasks.dead() == []
        assert not await process.tasks.retry_dead(number)


@pytest.mark.parametrize(
    "raised",
    [
        pytest.param(SystemExit, id="SystemExit"),
        pytest.param(asyncio.CancelledError, id="CancelledError"),
        pytest.param(StopIteration, id="StopIteration"),
        pytest.param(RecursionError, id="RecursionError"),
        pytest.param(GeneratorExit, id="GeneratorExit"),
    ],
)
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_whatever_a_task_raises_harms_no_other(process, raised, kind):
    record = process.recorder()

    async def bad():
        raise raised

    def bad_in_a_thread():
        raise raised

    process_bad = process.tasks.task(name="bad", retries=0)(
        bad if kind == "async" else bad_in_a_thread
    )
    await process_bad.enqueue()
    async with process.tasks.worker():
        await dead(process)
        await record.enqueue("after")
        await eventually(lambda: process.ran["after"] == 1)


async def test_a_task_that_waits_too_long_is_cancelled(process):
    seen = []

    @process.tasks.task(name="slow", retries=0, time_limit_s=0.2)
    async def slow():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    await slow.enqueue()
    async with process.tasks.worker():
        (letter,) = await dead(process)
    assert seen == ["cancelled"]
    assert "longer than its limit of 0.2 s" in letter.error


async def test_a_function_that_spins_in_a_thread_is_interrupted(process):
    seen = []

    @process.tasks.task(name="spin", retries=0, time_limit_s=0.2)
    def spin():
        try:
            while True:
                pass
        except TimeLimitExceeded:
            seen.append("interrupted")
            raise

    await spin.enqueue()
    async with process.tasks.worker():
        (letter,) = await dead(process)
        await eventually(lambda: seen == ["interrupted"])
    assert "longer than its limit" in letter.error


async def test_threads_that_hang_do_not_hold_up_the_others(process):
    release = threading.Event()

    @process.tasks.task(name="stuck", retries=0, time_limit_s=0.1)
    def stuck():
        release.wait(30)

    @process.tasks.task(name="quick")
    def quick():
        process.ran["quick"] += 1

    try:
        for _ in range(4):
            await stuck.enqueue()
        async with process.tasks.worker(concurrency=4):
            await dead(process, 4)
            await quick.enqueue()
            await eventually(lambda: process.ran["quick"] == 1)
    finally:
        release.set()


async def test_a_task_that_swallows_its_cancellation_is_left_alone(process):
    stop = asyncio.Event()
    record = process.recorder()

    @process.tasks.task(name="stubborn", retries=0, time_limit_s=0.1)
    async def stubborn():
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        process.ran["stubborn"] += 1

    await stubborn.enqueue()
    async with process.tasks.worker(concurrency=1):
        (letter,) = await dead(process)
        await record.enqueue("after")
        await eventually(lambda: process.ran["after"] == 1)
        stop.set()
        await eventually(lambda: process.ran["stubborn"] == 1)
    assert "longer than its limit" in letter.error
    assert [each.id for each in await process.tasks.dead()] == [letter.id]


async def test_a_task_that_cannot_be_decoded_is_a_dead_letter_at_once(process):
    record = process.recorder()
    await record.enqueue("good")
    await process.db.pool().execute(
        "INSERT INTO millions.tasks (queue, name, arguments) VALUES ('default', 'record', '{oops')"
    )
    async with process.tasks.worker():
        (letter,) = await dead(process)
        await process.nothing_left()
    assert "cannot decode" in letter.error
    assert letter.attempts == 1
    assert process.ran == {"good": 1}


NEWER = [
    pytest.param("unknown", "[1,[1]]", id="a name that only the newer release knows"),
    pytest.param("record", "[1,[1,2,3]]", id="arguments that only the newer release takes"),
    pytest.param("record", "[2,[1]]", id="a format that only the newer release reads"),
]


@pytest.mark.parametrize(("name", "arguments"), NEWER)
async def test_a_task_of_a_newer_release_is_left_for_its_workers(process, name, arguments):
    process.recorder()
    await process.db.pool().execute(
        "INSERT INTO millions.tasks (queue, name, arguments) VALUES ('default', $1, $2)",
        name,
        arguments,
    )
    async with process.tasks.worker():

        async def let_go():
            return await process.rows("attempt", "state = 1 AND unknown_since IS NOT NULL")

        (row,) = await eventually(let_go)
        assert row["attempt"] == 0
    assert await process.tasks.dead() == []
    assert process.ran == {}


async def test_a_task_of_a_newer_release_runs_there(process, another_process):
    process.recorder()
    newer = await another_process()
    fresh = newer.recorder("fresh")
    newer.recorder()
    async with process.tasks.worker():
        await fresh.enqueue("a")

        async def let_go():
            return await process.rows("id", "unknown_since IS NOT NULL")

        await eventually(let_go)
        async with newer.tasks.worker():
            await eventually(lambda: newer.ran["a"] == 1)
            await process.nothing_left()


@pytest.mark.parametrize(("name", "arguments"), NEWER)
async def test_a_task_that_nobody_knows_for_an_hour_is_a_dead_letter(process, name, arguments):
    process.recorder()
    await process.db.pool().execute(
        "INSERT INTO millions.tasks (queue, name, arguments, unknown_since)"
        " VALUES ('default', $1, $2, now() - interval '61 minutes')",
        name,
        arguments,
    )
    async with process.tasks.worker():
        (letter,) = await dead(process)
    assert letter.name == name
    assert letter.error


async def test_a_failure_is_logged_with_task_attempt_and_request(process, capfd):
    @process.tasks.task(name="loud", retries=0)
    async def loud():
        raise ValueError("heard")

    token = requests.enter(requests.Request("request-1234", {"type": "http"}, 0.0))
    try:
        await loud.enqueue()
    finally:
        requests.leave(token)
    async with process.tasks.worker():
        await dead(process)
    lines.flush()
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (line,) = [each for each in said if each["event"] == "task failed"]
    assert (line["task"], line["attempt"], line["again"]) == ("loud", 1, False)
    assert (line["error"], line["request_id"]) == ("ValueError: heard", "request-1234")


async def test_the_traceback_is_kept_at_its_end_and_bounded(process):
    @process.tasks.task(name="deep", retries=0)
    async def deep():
        sys.setrecursionlimit(sys.getrecursionlimit())
        raise ValueError("x" * 10_000 + "END")

    await deep.enqueue()
    async with process.tasks.worker():
        (letter,) = await dead(process)
    assert letter.error.rstrip().endswith("END")
    assert len(letter.error) <= 4000
