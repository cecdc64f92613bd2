"""A climb that brings a store may be broken off and undone: nobody notices, nothing is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from store_site import MILLIONS, STORE, WITHIN_S, Users

from millions.cli import changing
from millions.cli.climbing import record
from millions.cli.progress import Progress
from millions.climb.table import State
from millions.errors import ClimbError
from millions.sdk.store.moving import ONE_MOVES
from millions.testing import eventually

if TYPE_CHECKING:
    from store_site import Site

    from millions.runtime.desired import Desired

pytestmark = pytest.mark.timeout(300)

INTERRUPTED = 130


def begin(site: Site, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.Popen(
        [MILLIONS, *arguments],
        cwd=site.folder,
        env=kept | {"MILLIONS_HOME": str(site.root / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def interrupted(site: Site, users: Users, *arguments: str) -> None:
    """Begin the command, and Ctrl-C it while two servers of the store serve and one does not."""
    command = begin(site, *arguments)
    frozen = 0
    try:
        frozen = await eventually(lambda: pid(site, "store.3"), within_s=WITHIN_S)
        os.kill(frozen, signal.SIGSTOP)
        await eventually(lambda: ready(site), within_s=WITHIN_S)
        await users.more(300)  # their sessions have moved
        command.send_signal(signal.SIGINT)
        said, _ = await asyncio.to_thread(command.communicate, timeout=WITHIN_S)
        assert command.returncode == INTERRUPTED, said
    finally:
        if frozen:
            os.kill(frozen, signal.SIGCONT)
        command.kill()
        command.communicate()


def pid(site: Site, name: str) -> int:
    """The pid of the unit's process; 0 while there is none."""
    units = json.loads(site.state.status.read_text())["units"]
    return next((each["pid"] or 0 for each in units if each["name"] == name), 0)


def ready(site: Site) -> bool:
    found = (site.state.units / "store.1" / "unit.json", site.state.units / "store.2" / "unit.json")
    return all(each.exists() and '"good": null' not in each.read_text() for each in found)


async def test_a_store_that_has_data_already_is_kept_and_gives_it_back_when_the_climb_is_undone(
    site: Site,
) -> None:
    before = site.file.read_text()
    async with Users(site, 30) as users:
        await users.more()
        site.file.write_text(before + STORE)
        async with site.database() as connection:  # the move does not come to its end meanwhile
            await connection.execute("SELECT pg_advisory_lock($1)", ONE_MOVES)
            await interrupted(site, users, "apply")
            await users.more()
        climb = record.read(site.state)
        assert climb is not None
        assert climb.state is State.CHANGING
        planned = site.millions("climb", "--undo", "--plan")
        assert "store-back" in planned
        refused = site.millions("climb", "--undo", "--pause-after", "lunch", status=1)
        assert "cannot pause after lunch" in refused
        assert record.read(site.state) == climb
        await users.more()
        await asyncio.to_thread(site.millions, "climb", "--undo", "--yes")
        await users.more()
    assert (record.read(site.state), site.file.read_text()) == (None, before)
    assert list(site.state.units.glob("store.*")) == []


async def test_what_was_erased_with_consent_is_not_erased_again_by_a_way_back(site: Site) -> None:
    async with Users(site, 20) as users:
        await users.more()
        site.file.write_text(site.file.read_text() + STORE)
        await asyncio.to_thread(site.millions, "apply")
        await users.more()
        site.file.write_text(site.file.read_text().replace(STORE, ""))
        await asyncio.to_thread(site.millions, "apply", "--yes")
        former = changing.last(site.state)
        assert former is not None
        assert former.consent == ()
        await users.more()
        old = dataclasses.replace(former, generation=former.generation - 1, consent=("store.1",))
        with pytest.raises(ClimbError), changing.alone(site.state):
            await asyncio.to_thread(broken_off, site, old)
        now = changing.last(site.state)
        assert now is not None
        assert (now.generation > former.generation, now.consent) == (True, ())


def broken_off(site: Site, former: Desired) -> None:
    with changing.undone(site.state, former, Progress(silent=True)):
        raise ClimbError(cannot="go on", because="a test says so", try_="again")
