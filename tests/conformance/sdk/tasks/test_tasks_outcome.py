"""What became of a task can be asked by its number: state, progress, result, reason."""

import asyncio
import json
from dataclasses import asdict

import pytest

from millions.sdk.tasks.operating import Operator
from millions.testing import eventually


@pytest.fixture
def operator(process):
    return Operator(process.tasks, process.db.pool)


async def state_of(process, task_id, state):
    found = await process.tasks.outcome(task_id)
    return found if found.state == state else None


async def reaches(process, task_id, state):
    return await eventually(lambda: state_of(process, task_id, state), within_s=15)


async def test_a_task_is_ready_then_running_with_progress_then_done_with_its_result(process):
    release = asyncio.Event()

    @process.tasks.task(name="count", keep_s=60)
    async def count(number):
        process.tasks.current().progress(0.25, "a quarter")
        await release.wait()
        return {"counted": number}

    task_id = await count.enqueue(3)
    assert (await process.tasks.outcome(task_id)).state == "ready"
    async with process.tasks.worker():

        async def told():
            found = await process.tasks.outcome(task_id)
            return found if found.progress else None

        found = await eventually(told)
        assert (found.state, found.progress, found.words) == ("running", 0.25, "a quarter")
        release.set()
        done = await reaches(process, task_id, "done")
    assert (done.result, done.progress) == ({"counted": 3}, 1.0)


async def test_words_that_no_database_keeps_are_told_as_near_as_they_can_be(process):
    release = asyncio.Event()

    @process.tasks.task(name="named", keep_s=60)
    async def named():
        process.tasks.current().progress(0.5, "a\0b \ud800")
        await release.wait()

    record = process.recorder()
    task_id = await named.enqueue()
    async with process.tasks.worker():

        async def told():
            found = await process.tasks.outcome(task_id)
            return found.words if found.progress else None

        assert await eventually(told) == "a\ufffdb ?"
        other = await record.enqueue("x")
        await reaches(process, other, "gone")
        release.set()
        await reaches(process, task_id, "done")


async def test_none_is_a_result_too_and_of_what_is_not_kept_nothing_is_known(process):
    @process.tasks.task(name="kept", keep_s=60)
    def kept():
        return None

    record = process.recorder()
    first, second = await kept.enqueue(), await record.enqueue("x")
    async with process.tasks.worker():
        done = await reaches(process, first, "done")
        await reaches(process, second, "gone")
    assert done.result is None


async def test_a_result_that_no_row_can_hold_is_a_failure_that_says_so(process):
    @process.tasks.task(name="odd", keep_s=60, retries=0)
    async def odd():
        return object()

    task_id = await odd.enqueue()
    async with process.tasks.worker():
        found = await reaches(process, task_id, "dead")
    assert "object" in found.error


async def test_a_result_is_forgotten_in_time(process):
    @process.tasks.task(name="kept", keep_s=60)
    async def kept():
        return 1

    task_id = await kept.enqueue()
    async with process.tasks.worker() as worker:
        await reaches(process, task_id, "done")
        await process.db.pool().execute(
            "UPDATE millions.task_results SET kept_until = now() - interval '1 s'"
        )
        worker._tender._sweep_at_s = 0.0
        await reaches(process, task_id, "gone")


async def test_a_changed_signature_is_a_dead_letter_that_says_so_and_can_be_retried(
    process, another_process, operator
):
    @process.tasks.task(name="thumbnail")
    async def thumbnail(photo, size):
        raise NotImplementedError

    task_id = await thumbnail.enqueue("p1", 200)
    newer = await another_process()

    @newer.tasks.task(name="thumbnail")
    async def thumbnail_of(photo):
        newer.ran[photo] += 1

    record = newer.recorder()
    async with newer.tasks.worker():
        waiting = await reaches(process, task_id, "waiting")
        assert "(photo), the task ['p1', 200]: too many positional" in waiting.error
        await record.enqueue("others go on")
        await eventually(lambda: newer.ran["others go on"] == 1)
        await process.db.pool().execute(
            "UPDATE millions.tasks SET unknown_since = now() - interval '61 minutes'"
        )
        assert await operator.retry(task_id)
        # its hour begins anew with a retry; without one it is over
        await process.db.pool().execute(
            "UPDATE millions.tasks SET due_at = now(), unknown_since = now() - interval '61 min'"
        )
        assert "too many positional" in (await reaches(process, task_id, "dead")).error

    async def thumbnail_again(photo, size=100):
        newer.ran[photo] += 1

    mended = await another_process()
    mended.tasks.task(name="thumbnail")(thumbnail_again)
    mended.recorder()
    async with mended.tasks.worker():
        assert await operator.retry(task_id)
        await eventually(lambda: newer.ran["p1"] == 1)


async def test_operators_see_rates_failures_by_kind_and_one_task(process, operator):
    @process.tasks.task(name="flaky", retries=0)
    async def flaky(value):
        if value < 0:
            raise ValueError(value)

    for value in (1, 2, -1):
        await flaky.enqueue(value)
    later = await flaky.enqueue(9, delay_s=3600, key="k1")
    async with process.tasks.worker():
        (letter,) = await eventually(process.tasks.dead)
    (rate,) = await operator.rates()
    assert (rate.name, rate.done, rate.failures) == ("flaky", 2, {"ValueError": 1})
    assert rate.each_minute > 0
    shown = await operator.show(later)
    assert (shown.state, shown.key, json.loads(shown.arguments)) == ("waiting", "k1", [1, [9]])
    dead = await operator.show(letter.id)
    assert (dead.state, dead.attempts) == ("dead", 1)
    assert asdict(letter) == asdict((await operator.dead(name="flaky"))[0])
    assert await operator.dead(name="other") == []
    assert await operator.show(10**12) is None


async def test_all_dead_letters_of_one_task_are_retried_at_once(process, operator):
    broken = [True]

    @process.tasks.task(name="breaks", retries=0)
    async def breaks(value):
        if broken:
            raise ValueError(value)
        process.ran[value] += 1

    await process.tasks.enqueue_many(breaks, [(n,) for n in range(5)])
    async with process.tasks.worker():

        async def all_dead():
            return len(await process.tasks.dead()) == 5

        await eventually(all_dead)
        broken.clear()
        assert await operator.retry_all("breaks") == 5
        await eventually(lambda: sum(process.ran.values()) == 5)
    assert not await operator.retry(10**12)


async def test_a_queue_with_a_limit_never_runs_more_and_keeps_nobody_waiting(process):
    running, most = [0], [0]

    async def bounded(value):
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.01)
        running[0] -= 1
        process.ran[value] += 1

    urgent = process.tasks.task(name="urgent", queue="video", priority=1)(bounded)
    other = process.tasks.task(name="other", queue="video")(bounded)
    record = process.recorder()
    for number in range(10):
        await urgent.enqueue(f"urgent {number}")
        await other.enqueue(f"other {number}")
    await record.enqueue("default")
    async with process.tasks.worker(concurrency=8, limits={"video": 2}):
        await eventually(lambda: sum(process.ran.values()) == 21)
    assert most[0] == 2
    assert set(process.ran.values()) == {1}
