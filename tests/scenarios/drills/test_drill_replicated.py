"""On replicas a drill must find who leads, break it, and prove that nobody noticed but in time."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from drilling import Drilled, brought_up
from histories_of_drills import titles

from millions.drill.faults import aim as aims

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(300)  # three members of everything start

NEEDED = ("haproxy", "etcd")
BACK_WITHIN_S = 10.0
"""Of a busy machine; the aim is one second, which bench/ measures."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicated() -> AsyncIterator[Drilled]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    missing = [each for each in NEEDED if shutil.which(each, path=path) is None]
    if missing:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"{', '.join(missing)} not installed")
    async with brought_up(rung=4) as drilled:
        yield drilled


async def test_the_whole_server_of_the_primary_may_die(replicated: Drilled) -> None:
    before = aims.primary(replicated.stage).name
    verdict = await replicated.drill("kill primary-server at 2s", may_fail="unrepeatable")
    assert aims.primary(replicated.stage).name != before
    assert titles(verdict) == {}
    gap = next(each for each in verdict.gaps if each.kind == "write")
    assert gap.seconds < BACK_WITHIN_S
    assert verdict.kinds["write"] > 50


async def test_a_member_of_the_consensus_may_die_unnoticed(replicated: Drilled) -> None:
    verdict = await replicated.drill("kill leader at 2s", may_fail="none")
    assert titles(verdict) == {}


async def test_aims_follow_the_roles(replicated: Drilled) -> None:
    leading = aims.find(replicated.stage, "primary").units
    replicas = aims.find(replicated.stage, "replica.*").units
    assert len(leading) == 1
    assert {*leading, *replicas} == {"database.1", "database.2", "database.3"}
    assert aims.find(replicated.stage, "primary-server").units == leading
    assert aims.find(replicated.stage, "replica").units[0] in replicas
    assert aims.find(replicated.stage, "leader").units[0].startswith("consensus.")
    everything = aims.members(replicated.stage, aims.find(replicated.stage, "primary"))
    daemon = aims.members(replicated.stage, aims.find(replicated.stage, "primary:daemon"))
    agent = aims.members(replicated.stage, aims.find(replicated.stage, "primary:agent"))
    assert agent
    assert daemon
    assert not {*agent} & {*daemon}
    assert {*agent, *daemon} <= {*everything}
