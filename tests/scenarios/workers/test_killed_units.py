"""X must Y: whatever is killed under a backlog, no task must be lost, and few be repeated."""

import asyncio
import os
import signal
from collections import Counter

import pytest

from millions.testing import eventually

TABLES = """
[queue]
members = 3

[workers]
servers = 2
concurrency = 4
memory_mib = 220
drain_s = 5
"""


@pytest.fixture(scope="module")
def site(jobs):
    jobs.append(TABLES)
    jobs.millions("up", "--detach")
    return jobs


async def ready(site, *names, other_than=()):
    def are():
        units = site.units()
        return all(
            units[name]["phase"] == "ready" and units[name]["pid"] not in other_than
            for name in names
        )

    await eventually(are, within_s=60)


async def held_by(site, pid):
    """How many tasks a process holds, as the database says."""
    said = site.millions(
        "sql",
        "--csv",
        "SELECT count(*) FROM millions.tasks AS task JOIN millions.task_workers AS worker"
        f" ON task.worker = worker.id WHERE worker.name LIKE '% {pid}'",
    )
    return int(said.out.split()[-1])


async def heard(site):
    found = await site.get("/heard")
    return set(found["values"]), found["missed"]


async def test_a_killed_broker_must_cost_no_task_and_no_event_that_nobody_is_told_of(site):
    await ready(site, "queue.1", "queue.2", "queue.3", "web.1")
    async with asyncio.timeout(60):
        while "connected to the queue" not in site.millions("logs", "--json").out:
            await site.enqueue("note", 1)
    assert "Route connection created" in site.millions("logs", "--unit", "queue.1").out
    await site.enqueue("note", 20)
    await site.none_left()

    async def all_heard():
        values, _ = await heard(site)
        return values == site.expected

    await eventually(all_heard, within_s=30)
    _, missed = await heard(site)
    dead = []
    for _ in range(3):
        await site.enqueue("slowly", 20)
    dead = [site.kill(f"queue.{number}") for number in (1, 2, 3)]
    for _ in range(3):
        await site.enqueue("slowly", 20)
    await site.none_left()
    await site.ran_once_each()
    await ready(site, "queue.1", "queue.2", "queue.3", other_than=dead)

    async def told_or_heard():
        values, now = await heard(site)
        return values == site.expected or now > missed

    await eventually(told_or_heard, within_s=30)
    await site.enqueue("note", 20)
    last = set(range(site.next - 20, site.next))

    async def last_heard():
        values, _ = await heard(site)
        return last <= values

    await eventually(last_heard, within_s=30)


async def test_killed_workers_and_a_killed_supervisor_must_lose_nothing(site):
    for _ in range(6):
        await site.enqueue("slowly", 50)
    dead = [site.kill("workers.1")]
    held = await held_by(site, dead[0])
    supervisor = int((site.state / "supervisor.lock").read_text())
    os.kill(supervisor, signal.SIGKILL)
    await site.enqueue("slowly", 50)
    dead.append(site.kill("workers.2"))
    held += await held_by(site, dead[1])
    site.millions("up", "--detach")
    await ready(site, "workers.1", "workers.2", other_than=dead)
    await site.none_left()
    runs = await site.runs()
    counted = Counter(value for value, *_ in runs)
    assert set(counted) == site.expected
    repeated = {value for value, times in counted.items() if times > 1}
    assert len(repeated) <= held
    assert {pid for value, _, pid, _ in runs if value in repeated} & set(dead) or not repeated


async def test_a_worker_that_eats_memory_must_end_and_its_tasks_go_on_elsewhere(site):
    before = {site.pid("workers.1"), site.pid("workers.2")}
    await site.enqueue("eat", 1)
    await site.enqueue("slowly", 20)
    await site.none_left()
    counted = Counter(value for value, *_ in await site.runs())
    assert set(counted) == site.expected
    await ready(site, "workers.1", "workers.2")
    after = {site.pid("workers.1"), site.pid("workers.2")}
    assert len(before & after) == 1, "one was started anew"
    said = site.millions("logs", "--json").out
    assert "takes too much memory" in said
    assert '"running":["eat"' in said.replace(" ", "")


async def test_tasks_must_be_listed_shown_and_retried_and_poison_must_keep_nobody_waiting(site):
    poisoned = await site.enqueue("poison", 30)
    computed = await site.enqueue("compute", 2)
    site.expected -= set(range(site.next - 32, site.next))
    await site.enqueue("note", 5)
    await site.none_left()
    counted = Counter(value for value, *_ in await site.runs())
    assert set(counted) == site.expected

    async def two_done():
        found = [await site.get(f"/outcome?id={each}") for each in computed]
        return found if all(each["state"] == "done" for each in found) else None

    results = await eventually(two_done, within_s=30)
    values = [(site.next - 7) ** 2, (site.next - 6) ** 2]
    assert [each["result"][0] for each in results] == values

    def counted_failures():
        listed = site.millions("tasks", "list", "--json").json
        failures = {each["name"]: each["failures"] for each in listed["lately"]}
        return listed if failures.get("poison") == {"ValueError": 30} else None

    listed = await eventually(counted_failures, within_s=20)
    assert (listed["dead"], listed["workers"]) == (30, 2)
    letters = site.millions("tasks", "dead", "--task", "poison", "--json").json
    assert {each["id"] for each in letters} == set(poisoned)
    assert "ValueError: no" in site.millions("tasks", "dead").out
    shown = site.millions("tasks", "show", str(poisoned[0]), "--json").json
    assert (shown["state"], shown["attempts"]) == ("dead", 1)
    assert site.millions("tasks", "retry", str(poisoned[0]), "--json").json == {"retried": 1}
    assert site.millions("tasks", "retry", "--task", "poison", "--json").json["retried"] >= 29
    refused = site.millions("tasks", "show", "999999999", status=None)
    assert refused.status != 0
    assert refused.err.startswith("cannot show task 999999999\n  because: no task of this number")
    assert "poison" in site.millions("tasks", "list").out
