"""A release that does worse on one web server must not come to the others."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from millions.testing import eventually

if TYPE_CHECKING:
    from subprocess import Popen

    from site_stack import Ran, Site

CANARY_S = 12
"""Long enough for nine in ten answers not to be a matter of one busy second."""


async def deployed(site: Site, how: str, *, status: int = 0) -> Ran:
    """Deploy a release that behaves so, with a canary."""
    text = site.file.read_text()
    site.file.write_text(text.replace("canary_s = 0", f"canary_s = {CANARY_S}"))
    site.behave(how)
    return await asyncio.to_thread(site.millions, "deploy", status=status)


async def behaving(site: Site) -> set[str]:
    """What the releases do that answer now."""
    return {(await site.json("/who"))["release"] for _ in range(12)}


async def test_a_release_that_fails_goes_back_by_itself_with_its_figures(site: Site) -> None:
    before = site.millions("status", "--json").json["release"]
    async with site.load(expect=(200, 500), clients=8) as load:
        ran = await deployed(site, "failing", status=4)
    assert "it answers with more errors: web.1: " in ran.err
    assert "100.0%" in ran.err
    assert site.millions("status", "--json").json["release"] == before
    assert await behaving(site) == {"good"}
    answered = load.tally.answered
    assert load.tally.failed == 0, load.tally.examples
    assert 0 < answered[500] < 0.3 * answered[200], "a share of the requests, on one server"


async def test_a_release_that_is_slow_goes_back_by_itself(site: Site) -> None:
    before = site.millions("status", "--json").json["release"]
    async with site.load(clients=32) as load:
        ran = await deployed(site, "slow", status=4)
    assert "it is slower: web.1: " in ran.err
    assert load.tally.failed == 0, load.tally.examples
    assert site.millions("status", "--json").json["release"] == before
    assert await behaving(site) == {"good"}


async def test_without_traffic_a_release_goes_on_and_says_so(site: Site) -> None:
    ran = await deployed(site, "quiet")
    assert "too little traffic to judge it" in ran.err
    assert await behaving(site) == {"quiet"}


async def test_a_good_release_gets_its_share_first_and_then_everything(site: Site) -> None:
    async with site.load(clients=8) as load:
        deploying = asyncio.create_task(deployed(site, "better"))
        seen: Counter[str] = Counter()
        while not deploying.done():
            seen[(await site.json("/who"))["release"]] += 1
            await asyncio.sleep(0.01)
        ran = await deploying
    assert "web.1: " in ran.err
    assert "the others: " in ran.err
    assert load.tally.failed == 0, load.tally.examples
    assert seen["better"] < seen["quiet"], "a tenth of the requests for most of the time"
    assert await behaving(site) == {"better"}


async def watched(site: Site, how: str) -> Popen[str]:
    """Begin to deploy a release that behaves so; it is tried on the first server now."""
    before = site.millions("status", "--json").json["release"]
    site.behave(how)
    running = site.begin("deploy")
    await eventually(lambda: site.units()["web.1"]["release"] != before, within_s=30)
    await eventually(lambda: site.units()["web.1"]["phase"] == "ready", within_s=30)
    return running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_a_watch_that_is_interrupted_goes_back(site: Site, number: signal.Signals) -> None:
    before = site.millions("status", "--json").json["release"]
    running = await watched(site, "worse")
    running.send_signal(number)
    said, _ = await asyncio.to_thread(running.communicate, timeout=60)
    assert running.returncode == 130, said
    assert site.millions("status", "--json").json["release"] == before
    assert await behaving(site) == {"better"}
    assert site.millions("status", "--json").json["well"] is True


async def test_a_canary_that_dies_goes_back(site: Site) -> None:
    before = site.millions("status", "--json").json["release"]
    running = await watched(site, "mortal")
    await asyncio.to_thread(_until_watched, running)
    site.kill("web.1")
    said, _ = await asyncio.to_thread(running.communicate, timeout=90)
    assert running.returncode == 4, said
    assert "it did not stay ready" in said
    assert site.millions("status", "--json").json["release"] == before
    assert await behaving(site) == {"better"}


async def test_a_deploy_that_was_killed_while_it_watched_is_not_done(site: Site) -> None:
    before = site.millions("status", "--json").json["release"]
    running = await watched(site, "later")
    running.kill()
    await asyncio.to_thread(running.communicate, timeout=60)
    assert site.millions("status", "--json").json["release"] == before
    again = await asyncio.to_thread(site.millions, "deploy")
    assert "web.1: " in again.err, "it is watched again"
    assert f"has taken over from {before}" in again.out
    assert await behaving(site) == {"later"}
    assert "runs already" in (await asyncio.to_thread(site.millions, "deploy")).out


def _until_watched(running: object) -> None:
    for line in running.stdout:  # type: ignore[attr-defined]
        if "watches web.1" in line:
            return
