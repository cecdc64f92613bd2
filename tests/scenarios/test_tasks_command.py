"""X must Y: the worker command must run an application's tasks, and finish them when stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millions.testing import eventually

HERE = Path(__file__).parent
STOPPED_WITHIN_S = 20


@pytest.fixture
def start(tmp_path, millions_directory):
    """Start the command with these arguments; what is left is stopped by pid."""
    started = []
    place = tmp_path / "directory.json"
    place.write_text(millions_directory.text())

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "millions.sdk.tasks", *arguments],
            env={**os.environ, "MILLIONS_DIRECTORY": str(place), "PYTHONPATH": str(HERE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=STOPPED_WITHIN_S)


@pytest.fixture
async def runs(millions_nouns):
    pool = millions_nouns.db.pool()
    await pool.execute("CREATE TABLE runs (value int, pid int, at timestamptz DEFAULT now())")

    async def read():
        rows = await pool.fetch("SELECT value, pid FROM runs ORDER BY at")
        return [tuple(row) for row in rows]

    return read


def declared(nouns, name):
    async def elsewhere(value):
        raise NotImplementedError

    return nouns.tasks.task(name=name)(elsewhere)


@pytest.fixture
def forget(millions_nouns):
    """The nouns of this process are shared by every test: leave no declaration behind."""
    yield
    for name in ("note", "slow"):
        millions_nouns.tasks._registry.tasks.pop(name, None)


async def test_the_command_must_run_tasks_and_finish_them_on_sigterm(
    millions_nouns, runs, start, forget
):
    process = start("tasks_application", "--concurrency", "4")
    await declared(millions_nouns, "note").enqueue(1)
    await eventually(lambda: runs_are(runs, [(1, process.pid)]), within_s=20)
    await declared(millions_nouns, "slow").enqueue(2)
    await eventually(
        lambda: runs_are(runs, [(1, process.pid), (2, process.pid)], first=2), within_s=20
    )
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=STOPPED_WITHIN_S)
    assert process.returncode == 0, err
    assert (await runs())[-1] == (-2, process.pid)
    assert '"event":"tasks: working"' in out
    assert (await millions_nouns.tasks.statistics()).running == 0
    assert (await millions_nouns.tasks.statistics()).workers == 0


async def runs_are(runs, expected, first=None):
    return (await runs())[:first] == expected


async def test_an_application_that_does_not_import_must_show_its_own_traceback(start):
    process = start("no_such_application")
    _, err = process.communicate(timeout=STOPPED_WITHIN_S)
    assert process.returncode == 1
    assert "No module named 'no_such_application'" in err


async def test_a_missing_directory_must_be_said_in_three_lines(start, tmp_path):
    (tmp_path / "directory.json").unlink()
    process = start("tasks_application")
    _, err = process.communicate(timeout=STOPPED_WITHIN_S)
    assert process.returncode == 1
    assert err.startswith("cannot read ")
    assert "because:" in err
    assert "Traceback" not in err
