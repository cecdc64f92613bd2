"""Logged-in users must not notice that a store comes, that it loses its leader, or that every web
server is killed and replaced in turn."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from store_site import STORE, WITHIN_S, Users

from millions.testing import eventually

if TYPE_CHECKING:
    from store_site import Site


async def test_nobody_is_logged_out_when_the_store_is_added_to_a_running_stack(site: Site) -> None:
    async with Users(site, 50) as users:
        await users.more()
        site.file.write_text(site.file.read_text() + STORE)
        up = asyncio.create_task(asyncio.to_thread(site.millions, "up", "--detach"))
        await users.more()
        await up
        await site.settled()

        def moved() -> bool:
            return bool(site.store_leader()) and site.tables() == []

        await eventually(moved, within_s=WITHIN_S)
        await users.more()


async def test_nobody_is_logged_out_when_the_leader_of_the_store_is_killed(site: Site) -> None:
    async with Users(site, 20) as users:
        await users.more()
        leader = site.store_leader()
        killed = site.identity(leader).pid
        site.kill(leader)
        await users.more(300)
        await site.settled(without=killed)
        await eventually(lambda: bool(site.store_leader()), within_s=WITHIN_S)


async def test_nobody_is_logged_out_when_the_leader_of_the_store_is_frozen(site: Site) -> None:
    async with Users(site, 20) as users:
        await users.more()
        leader = site.store_leader()
        frozen = site.freeze(leader)
        await users.more(300)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        await users.more()
    await site.settled()


async def test_nobody_notices_that_every_web_server_is_killed_and_replaced(site: Site) -> None:
    async with Users(site, 200) as users:
        await users.more()
        for name in ("web.1", "web.2"):
            killed = site.identity(name).pid
            site.kill(name)
            await users.more(300)
            await site.settled(without=killed)
        before = {site.identity(name).pid for name in ("web.1", "web.2")}
        application = site.folder / "store_app.py"
        application.write_text(application.read_text() + "\n# the next release\n")
        await asyncio.to_thread(site.millions, "deploy")
        users.pids.clear()
        await users.more(300)
        assert users.pids
        assert not users.pids & before
