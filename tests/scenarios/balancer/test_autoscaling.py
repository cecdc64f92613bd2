"""The number of web servers must follow the load, and no request fails meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from site_stack import Site

pytestmark = pytest.mark.timeout(300)  # servers come and go, on a busy machine slowly

MOST = 3
SERVER_REQUESTS = 4
IDLE_S = 5
CALM, BUSY = 2, 16
"""Clients that ask for a page of 50 ms without pause: half of what one server is meant to have, and
more than all of them are."""

FOLLOWED_WITHIN_S = 60
BOUNDS = f"""servers_min = 1
servers_max = {MOST}
server_requests = {SERVER_REQUESTS}
servers_idle_s = {IDLE_S}
"""


@pytest.fixture(scope="module")
def site(new_site: Callable[[str], Site]) -> Site:
    """A stack whose number of web servers follows the load; it begins with one."""
    made = new_site("growing")
    made.edit("servers = 2   # both are needed\n", f"servers = 1\n{BOUNDS}")
    made.edit("[database]\n", "[database]\npool_connections = 4\n")
    made.millions("up", "--detach")
    return made


def running(site: Site) -> list[str]:
    return [name for name in site.units() if name.startswith("web")]


def told(site: Site) -> dict[str, Any]:
    """What `millions status` says of the number of web servers."""
    (found,) = json.loads((site.state / "status.json").read_text())["scaling"]
    return dict(found)


def grown(site: Site, count: int = MOST) -> bool:
    return len(running(site)) >= count and site.well()


def shrunk(site: Site) -> bool:
    return running(site) == ["web.1"] and site.well()


@asynccontextmanager
async def busy(site: Site, clients: int = BUSY) -> AsyncIterator[None]:
    """A step of load, of which nothing may fail."""
    async with site.load(slow_page, clients=clients) as load:
        yield
    assert load.tally.failed == 0, load.tally.examples
    assert load.tally.good > clients


def slow_page(_number: int) -> bytes:
    return b"GET /slow?s=0.05 HTTP/1.1\r\nhost: photos.test\r\n\r\n"


async def test_a_step_brings_servers_and_its_end_takes_them_away(site: Site) -> None:
    """The supervisor is killed in the middle; the next one goes on from what runs."""
    assert running(site) == ["web.1"]
    async with site.load(slow_page, clients=CALM) as calm:
        async with busy(site):
            await eventually(lambda: len(running(site)) > 1, within_s=FOLLOWED_WITHIN_S)
            os.kill(site.supervisor(), signal.SIGKILL)
            pids = {
                name: unit["pid"] for name, unit in site.units().items() if unit["phase"] == "ready"
            }
            await site.run("up", "--detach")
            assert {name: site.pid(name) for name in pids} == pids, "they were adopted"
            await eventually(lambda: grown(site), within_s=FOLLOWED_WITHIN_S)
            said = told(site)
            assert (said["count"], said["least"], said["most"]) == (MOST, 1, MOST)
            assert " requests under way and " in said["why"]
            shown = " ".join((await site.run("status")).out.split())
            assert f"web: {MOST}, follows the load from 1 to {MOST}; since " in shown
            assert (await site.run("plan")).out.startswith("nothing to do")
        await eventually(lambda: shrunk(site), within_s=FOLLOWED_WITHIN_S)
    assert calm.tally.failed == 0, calm.tally.examples
    assert told(site)["why"].startswith(f"fewer would have been enough for {IDLE_S} s; ")


async def test_a_deploy_while_servers_come_reaches_all_of_them(site: Site) -> None:
    async with busy(site):
        await eventually(lambda: len(running(site)) > 1, within_s=FOLLOWED_WITHIN_S)
        site.behave("good\n")
        site.edit("canary_s = 0", "canary_s = 1")
        await asyncio.to_thread(site.millions, "deploy")
        await eventually(lambda: grown(site), within_s=FOLLOWED_WITHIN_S)
        release = site.millions("status", "--json").json["release"]
        assert {site.units()[name]["release"] for name in running(site)} == {release}


async def test_a_number_by_hand_holds_until_bounds_are_given_again(site: Site) -> None:
    await asyncio.to_thread(site.millions, "scale", "web=2")
    assert running(site) == ["web.1", "web.2"]
    assert [told(site)[key] for key in ("count", "least", "most")] == [2, 2, 2]
    said = await asyncio.to_thread(site.millions, "scale", f"web=1..{MOST}", "--json")
    assert said.json == {"web": {"before": 2, "least": 1, "most": MOST}}
    assert [told(site)[key] for key in ("least", "most")] == [1, MOST]


@pytest.mark.parametrize(
    ("pair", "because"),
    [
        pytest.param("web=3..2", "3 is more than 2", id="the wrong way round"),
        pytest.param("web=1..99", "the database accepts 160", id="too many for the database"),
    ],
)
def test_bounds_that_cannot_be_change_nothing(site: Site, pair: str, because: str) -> None:
    before = site.file.read_text()
    ran = site.millions("scale", pair, status=2)
    assert because in ran.err
    assert site.file.read_text() == before
