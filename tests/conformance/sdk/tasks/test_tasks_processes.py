"""Tasks that compute run in processes of their own, which can be ended whatever they do."""

import os
from pathlib import Path

import computing
import pytest

from millions.errors import TaskError
from millions.testing import eventually

NAMES = ("add", "crash", "fail", "hang", "tell", "alone")


@pytest.fixture
def declared(process, monkeypatch):
    """The tasks of `computing`, declared in this process's noun."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return {
        name: process.tasks.task(
            name=name,
            process=True,
            retries=task.bounds.retries,
            time_limit_s=task.bounds.time_limit_s,
            keep_s=task.bounds.keep_s,
        )(task.function)
        for name in NAMES
        for task in [getattr(computing, name)]
    }


async def ended(process, task_id):
    async def over():
        found = await process.tasks.outcome(task_id)
        return found if found.state in {"done", "dead", "gone"} else None

    return await eventually(over, within_s=30)


async def test_it_runs_in_another_process_which_is_kept_for_the_next(process, declared):
    async with process.tasks.worker():
        first = await ended(process, await declared["add"].enqueue(1, other=2))
        second = await ended(process, await declared["add"].enqueue(5))
    assert (first.result[0], second.result[0]) == (3, 6)
    assert first.result[1] == second.result[1] != os.getpid()
    gone = Path(f"/proc/{first.result[1]}")
    await eventually(lambda: not gone.exists(), within_s=10)


async def test_one_that_crashes_fails_its_own_task_only(process, declared):
    async with process.tasks.worker():
        crashed = await ended(process, await declared["crash"].enqueue())
        added = await ended(process, await declared["add"].enqueue(1))
    assert crashed.state == "dead"
    assert "its process ended: signal 11" in crashed.error
    assert added.result[0] == 2


async def test_what_it_raises_is_told_with_its_own_traceback(process, declared):
    async with process.tasks.worker():
        failed = await ended(process, await declared["fail"].enqueue())
    assert failed.error.rstrip().endswith("LookupError: not there")
    assert "computing.py" in failed.error


async def test_its_time_limit_ends_it_even_where_nothing_can_be_interrupted(process, declared):
    async with process.tasks.worker():
        hung = await ended(process, await declared["hang"].enqueue())
    assert "longer than its limit" in hung.error


async def test_it_tells_its_progress_and_which_attempt_it_is(process, declared, tmp_path):
    until = tmp_path / "until"
    async with process.tasks.worker():
        task_id = await declared["tell"].enqueue(str(until))

        async def half():
            found = await process.tasks.outcome(task_id)
            return (found.state, found.progress, found.words) == ("running", 0.5, "half")

        await eventually(half, within_s=30)
        until.touch()
        assert (await ended(process, task_id)).result == 1


async def test_no_more_run_at_once_than_there_are_processes_and_the_others_wait(
    process, declared, tmp_path
):
    record = process.recorder()
    ids = [await declared["alone"].enqueue(str(tmp_path), number) for number in range(10)]
    await record.enqueue("beside")
    async with process.tasks.worker(concurrency=4, processes=1):
        await eventually(lambda: process.ran["beside"] == 1)
        for each in ids:
            assert (await ended(process, each)).state == "gone"
    assert {path.name for path in tmp_path.iterdir()} == {str(number) for number in range(10)}


async def add_slowly(value):
    return value


@pytest.mark.parametrize(
    ("function", "because"),
    [
        pytest.param(add_slowly, "it is async", id="async"),
        pytest.param(lambda: None, "could not import", id="not at the top of a module"),
    ],
)
def test_what_another_process_could_not_run_is_refused(process, function, because):
    with pytest.raises(TaskError, match=because):
        process.tasks.task(name="no", process=True)(function)


def test_a_queue_holds_tasks_of_one_kind(process, declared):
    with pytest.raises(TaskError, match="only one of both has process=True"):
        process.recorder("mixed", queue="processes")
