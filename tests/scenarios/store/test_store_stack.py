"""Logged-in users must not notice that a store comes, that it loses its leader, that every web
server is killed and replaced in turn, or that the store goes back into the database."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from store_site import CONNECTIONS, STORE, WITHIN_S, Users

from millions.drill.faults import aim as aims
from millions.drill.stage import Stage
from millions.errors import MachineError
from millions.sdk.store.moving import ONE_MOVES
from millions.sdk.store.progress import unmoved
from millions.testing import eventually

if TYPE_CHECKING:
    from store_site import Site

pytestmark = pytest.mark.timeout(300)  # members of a store start, on a busy machine slowly


async def test_nobody_is_logged_out_when_the_store_is_added_to_a_running_stack(site: Site) -> None:
    async with Users(site, 50) as users:
        await users.more()
        site.file.write_text(site.file.read_text() + STORE)
        up = asyncio.create_task(asyncio.to_thread(site.millions, "up", "--detach"))
        await users.more()
        await up
        await site.settled()

        await eventually(lambda: site.moved(to_servers=True), within_s=WITHIN_S)
        await users.more()


async def test_nobody_is_logged_out_when_the_leader_of_the_store_is_killed(site: Site) -> None:
    async with Users(site, 20) as users:
        await users.more()
        leader = site.store_leader()
        stage = Stage(site.file, home=site.root / "home")
        assert aims.find(stage, "store:leader").units == (leader,)
        with pytest.raises(MachineError, match="no unit of web says that it leads"):
            aims.find(stage, "web:leader")
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
        try:
            await users.more(300)
        finally:
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
            await site.shared()
        before = {site.identity(name).pid for name in ("web.1", "web.2")}
        application = site.folder / "store_app.py"
        application.write_text(application.read_text() + "\n# the next release\n")
        await asyncio.to_thread(site.millions, "deploy")
        users.pids.clear()
        await users.more(300)
        assert users.pids
        assert not users.pids & before


async def test_nobody_notices_that_the_store_goes_back_to_the_database_and_comes_again(
    site: Site,
) -> None:
    async with Users(site, 30) as users:
        await users.more()
        killed = site.identity("web.1").pid
        async with site.database() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", ONE_MOVES)
            await asyncio.to_thread(site.let_go)
            await users.more()
            site.kill(site.store_leader())  # while there is still something on it
            await users.more()
            await eventually(site.units, within_s=WITHIN_S)  # the former leader is back
            site.kill("web.1")
            await users.more()
            assert await unmoved(connection, to_servers=False)
        await eventually(lambda: site.moved(to_servers=False), within_s=WITHIN_S)
        await site.settled(without=killed)
        (site.state.units / "store.1" / "data" / "moved-back").touch()
        site.file.write_text(site.file.read_text().replace(STORE, ""))
        await asyncio.to_thread(site.millions, "up", "--detach")
        await users.more()

        site.file.write_text(site.file.read_text() + STORE)
        said = await asyncio.to_thread(site.millions, "up", "--detach", status=None)
        assert "has gone back into the database" in said
        for number in (1, 2, 3):
            shutil.rmtree(site.state.units / f"store.{number}")
        await asyncio.to_thread(site.millions, "up", "--detach")
        await eventually(lambda: site.moved(to_servers=True), within_s=WITHIN_S)
        await users.more()
    assert users.surplus <= users.unanswered + CONNECTIONS
