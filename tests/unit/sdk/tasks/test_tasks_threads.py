"""The pool of threads is bounded, and interrupts what it should and nothing else."""

import asyncio
import contextvars
import threading

import pytest

from millions.sdk.tasks.threads import ABANDONED_MAX, Threads, TimeLimitExceeded
from millions.testing import eventually


@pytest.fixture
def threads():
    threads = Threads(2)
    yield threads
    threads.close()


def submit(threads, call):
    return threads.submit(call, contextvars.copy_context())


async def test_results_and_errors_come_back(threads):
    assert await submit(threads, lambda: 7).future == 7
    with pytest.raises(ZeroDivisionError):
        await submit(threads, lambda: 1 / 0).future


async def test_no_more_threads_work_than_the_bound(threads):
    at_once, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def work():
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        go.wait(5)
        with lock:
            at_once -= 1

    jobs = [submit(threads, work) for _ in range(20)]
    await eventually(lambda: at_once == 2)
    go.set()
    await asyncio.gather(*(job.future for job in jobs))
    assert most == 2


async def test_python_code_that_hangs_is_interrupted_and_its_thread_comes_back(threads):
    began = threading.Event()

    def spin():
        while True:
            began.set()

    job = submit(threads, spin)
    await eventually(began.is_set)
    threads.give_up(job)
    with pytest.raises(TimeLimitExceeded):
        await job.future
    await eventually(lambda: threads.hanging == 0)
    assert await submit(threads, lambda: 1).future == 1


async def test_threads_that_hang_in_a_call_are_replaced(threads):
    release = threading.Event()
    jobs = [submit(threads, lambda: release.wait(30)) for _ in range(2)]
    await eventually(lambda: all(job.thread is not None for job in jobs))
    waiting = submit(threads, lambda: 7)
    for job in jobs:
        threads.give_up(job)
    assert threads.hanging == 2
    assert await asyncio.wait_for(waiting.future, 5) == 7
    release.set()
    await eventually(lambda: threads.hanging == 0)
    await asyncio.gather(*(job.future for job in jobs), return_exceptions=True)


async def test_hanging_threads_are_replaced_only_up_to_a_bound(threads):
    release = threading.Event()
    jobs = []
    for _ in range(ABANDONED_MAX + 2):
        job = submit(threads, lambda: release.wait(30))
        await eventually(lambda job=job: job.thread is not None)
        threads.give_up(job)
        jobs.append(job)
    late = submit(threads, lambda: 7)
    assert not late.future.done()
    assert threads._alive == ABANDONED_MAX + 2
    release.set()
    assert await asyncio.wait_for(late.future, 5) == 7
    await asyncio.gather(*(job.future for job in jobs), return_exceptions=True)


async def test_an_interruption_never_reaches_the_next_job(threads):
    """Give up jobs at the moment they end, many times; only what was given up may be harmed."""
    for _ in range(300):
        job = submit(threads, lambda: sum(range(200)))
        await eventually(lambda job=job: job.thread is not None or job.over)
        threads.give_up(job)
        innocent = [submit(threads, lambda: sum(range(200))) for _ in range(2)]
        assert await asyncio.gather(*(each.future for each in innocent)) == [19900, 19900]
        await asyncio.wait([job.future])
        job.future.exception()
