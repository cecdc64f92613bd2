"""G5 checked on the histories of two real processes that read and write the same data."""

import asyncio
import bisect
import json
import sys
from pathlib import Path

import pytest

SECONDS = 4
STATED_BOUND_S = 2.0
"""Between processes: the heartbeat and its limit (docs/limits.md). Delivery takes milliseconds."""


@pytest.fixture
async def histories(database, cache_directory, tmp_path):
    await database.pool().execute(
        "DROP TABLE IF EXISTS checked; CREATE TABLE checked (name text PRIMARY KEY, version int); "
        "INSERT INTO checked SELECT 'n' || n, 0 FROM generate_series(0, 11) AS n"
    )
    path = tmp_path / "directory.json"
    path.write_text(cache_directory.text())
    script = str(Path(__file__).with_name("checker.py"))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, script, str(path), str(SECONDS), str(seed)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for seed in (1, 2)
    ]
    try:
        async with asyncio.timeout(60):
            outputs = await asyncio.gather(*(process.communicate() for process in processes))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors.decode()
    return [json.loads(text) for text, _ in outputs]


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


async def test_no_read_is_older_than_a_commit_acknowledged_before_it(histories):
    for history in histories:
        assert len(history["writes"]) > 50
        assert len(history["rollbacks"]) > 10
        assert history["hits"] > history["misses"]
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
