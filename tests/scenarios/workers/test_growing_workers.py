"""The number of workers must follow the oldest task, and no task is lost or run twice meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from millions.testing import eventually

pytestmark = pytest.mark.timeout(300)  # servers come and go, on a busy machine slowly

MOST = 3
TABLES = f"""
[workers]
servers = 1
servers_min = 1
servers_max = {MOST}
servers_idle_s = 5
oldest_task_s = 1
concurrency = 2
drain_s = 20
"""
BATCH, LEFT = 20, 60
"""Of 0.2 s each: work for one worker for two seconds, and for all of them for two more."""

FOLLOWED_WITHIN_S = 90


@pytest.fixture(scope="module")
def site(jobs):
    jobs.append(TABLES)
    jobs.millions("up", "--detach")
    return jobs


def running(site):
    return {
        name
        for name, unit in site.units().items()
        if "workers." in name and unit["pid"] is not None
    }


def ready(site):
    units = site.units()
    return {name for name in running(site) if units[name]["phase"] == "ready"}


def told(site):
    """What `millions status` says of the number of workers."""
    (found,) = json.loads((site.state / "status.json").read_text())["scaling"]
    return found


async def backlog_until(site, check):
    """Enqueue whenever little is left, so that something waits, until `check` holds."""

    async def checked():
        if (await site.get("/left"))["left"] < LEFT:
            await site.enqueue("slowly", BATCH)
        return check()

    await eventually(checked, within_s=FOLLOWED_WITHIN_S)


async def test_a_backlog_must_bring_workers_and_its_end_take_them_away(site):
    """The supervisor is killed in the middle; the next one goes on from what runs."""
    assert running(site) == {"workers.1"}
    await backlog_until(site, lambda: told(site)["count"] > 1)
    assert " tasks wait, the oldest for " in told(site)["why"]
    os.kill(int((site.state / "supervisor.lock").read_text()), signal.SIGKILL)
    raised = asyncio.create_task(site.command("up", "--detach"))
    await backlog_until(site, raised.done)
    await raised
    await backlog_until(site, lambda: len(ready(site)) == MOST)
    assert [told(site)[key] for key in ("count", "least", "most")] == [MOST, 1, MOST]
    shown = " ".join((await site.command("status")).out.split())
    assert f"workers: {MOST}, follows the load from 1 to {MOST}; since " in shown

    await eventually(lambda: told(site)["count"] == 1, within_s=FOLLOWED_WITHIN_S)
    await eventually(lambda: running(site) == {"workers.1"}, within_s=FOLLOWED_WITHIN_S)
    assert told(site)["why"].startswith("fewer would have been enough for 5 s; ")
    await site.none_left()
    await site.ran_once_each()
    assert len({unit for _, unit, _, _ in await site.runs()}) > 1


async def test_a_number_by_hand_must_hold_until_bounds_are_given_again(site):
    await site.command("scale", "workers=2")
    assert [told(site)[key] for key in ("count", "least", "most")] == [2, 2, 2]
    said = await site.command("scale", f"workers=1..{MOST}", "--json")
    assert said.json == {"workers": {"before": 2, "least": 1, "most": MOST}}
    assert [told(site)[key] for key in ("least", "most")] == [1, MOST]
