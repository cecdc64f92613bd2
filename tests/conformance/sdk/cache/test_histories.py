"""G5 checked on the histories of two real processes that read and write the same data."""

import asyncio
import bisect
import json
import signal
import sys
from pathlib import Path

import pytest

SECONDS = 4
FAULTY_SECONDS = 9
STATED_BOUND_S = 2.0
"""Between processes: the heartbeat and its limit (docs/limits.md). Delivery takes milliseconds."""


@pytest.fixture
async def new_histories(database, cache_directory, tmp_path):
    await database.pool().execute(
        "DROP TABLE IF EXISTS checked; CREATE TABLE checked (name text PRIMARY KEY, version int); "
        "INSERT INTO checked SELECT 'n' || n, 0 FROM generate_series(0, 11) AS n"
    )
    path = tmp_path / "directory.json"
    path.write_text(cache_directory.text())
    script = str(Path(__file__).with_name("checker.py"))

    async def histories(seconds, faults=None):
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, script, str(path), str(seconds), str(seed)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            for seed in (1, 2)
        ]
        try:
            async with asyncio.timeout(60 + seconds):
                outputs = asyncio.gather(*(process.communicate() for process in processes))
                if faults is not None:
                    await faults()
                outputs = await outputs
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        for process, (_, errors) in zip(processes, outputs, strict=True):
            assert process.returncode == 0, errors.decode()
        return [json.loads(text) for text, _ in outputs]

    return histories


def staleness_ns(reads, writes):
    """For each read: how long before it began a newer version was acknowledged; 0 if none was."""
    acknowledged = {}
    for name, version, at in writes:
        acknowledged.setdefault(name, []).append((version, at))
    first_newer = {}
    for name, pairs in acknowledged.items():
        pairs.sort()
        versions = [version for version, _ in pairs]
        earliest, at_or_after = float("inf"), []
        for _, at in reversed(pairs):
            earliest = min(earliest, at)
            at_or_after.append(earliest)
        first_newer[name] = (versions, at_or_after[::-1])
    for name, version, began in reads:
        versions, earliest = first_newer.get(name, ([], []))
        at = bisect.bisect_right(versions, version)
        newer = earliest[at] if at < len(earliest) else float("inf")
        yield max(0, began - newer)


def test_the_judge_sees_a_stale_read():
    writes = [["a", 1, 10], ["a", 2, 20], ["b", 1, 5]]
    reads = [["a", 1, 19], ["a", 1, 25], ["a", 0, 30], ["a", 2, 40], ["c", 0, 9]]
    assert list(staleness_ns(reads, writes)) == [0, 5, 20, 0, 0]


async def test_no_read_is_older_than_a_commit_acknowledged_before_it(new_histories):
    judge(await new_histories(SECONDS))


@pytest.mark.parametrize("form", ["distributed"])
async def test_no_read_is_older_while_servers_die_freeze_and_come_back(new_histories, servers):
    one, other = servers
    faults = 0

    async def harm(seconds):
        nonlocal faults
        faults += 1
        await asyncio.sleep(seconds)  # sleeps: that long the harm lasts

    async def break_servers():
        await harm(2.0)
        for _ in range(2):
            one.stop()
            await harm(0.3)
            one.start()
            await harm(0.6)
            other.send(signal.SIGSTOP)
            await harm(0.9)
            other.send(signal.SIGCONT)
            one.send(signal.SIGSTOP)
            await harm(0.15)
            one.send(signal.SIGCONT)
            await harm(0.4)
            other.stop()
            one.stop()
            await harm(0.2)
            one.start()
            other.start()
            await harm(0.3)

    judge(await new_histories(FAULTY_SECONDS, break_servers))
    assert faults > 10


def judge(histories):
    """No process reads what is older than its own commits, and others' soon."""
    for history in histories:
        assert len(history["writes"]) > 50
        assert len(history["rollbacks"]) > 10
        assert history["hits"] > 300  # the cache was asked, however busy the machine is
        stale = [each for each in staleness_ns(history["reads"], history["writes"]) if each]
        assert not stale, f"{len(stale)} of {len(history['reads'])} reads, worst {max(stale)} ns"

    everywhere = [write for history in histories for write in history["writes"]]
    committed = {(name, version) for name, version, _ in everywhere}
    assert len(committed) == len(everywhere)
    for history in histories:
        for name, version, _ in history["reads"]:
            assert version == 0 or (name, version) in committed

    late = [each / 1e9 for h in histories for each in staleness_ns(h["reads"], everywhere) if each]
    late.sort()
    reads = sum(len(history["reads"]) for history in histories)
    figures = (
        f"{len(late)} of {reads} reads were behind the other process, "
        f"p99 {late[int(len(late) * 0.99)] * 1e3 if late else 0:.1f} ms, "
        f"worst {late[-1] * 1e3 if late else 0:.1f} ms"
    )
    print(figures)  # noqa: T201  # the figure that docs/limits.md states
    assert not late or late[-1] < STATED_BOUND_S, figures

    newest = {}
    for name, version, _ in everywhere:
        newest[name] = max(version, newest.get(name, 0))
    for history in histories:
        assert {name: version for name, version in history["final"].items() if version} == newest
