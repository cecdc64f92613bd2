"""Planned changes of a stack with a balancer must fail no request (G2)."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from site_stack import post

from millions.testing import eventually
from millions.tiers.web import PRIVATE_PORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from site_stack import Site


def changes(number: int) -> bytes:
    """Two in ten requests change something, without a key."""
    return post(f"n{number}") if number % 5 == 0 else b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n"


async def run(site: Site, *arguments: str, status: int | None = 0) -> str:
    ran = await site.run(*arguments, status=status)
    return ran.out + ran.err


async def test_the_migration_runs_once_for_all_web_servers(site: Site) -> None:
    release = site.millions("status", "--json").json["release"]
    assert (await site.json("/migrations")).count(release) == 1


async def test_only_the_balancer_has_a_public_address(site: Site) -> None:
    status = site.millions("status").out
    assert re.findall(r"http://\S+", status) == [f"http://127.0.0.1:{site.port}/"]
    hosts = {unit["address"].split(":")[0] for unit in site.units().values()}
    assert all(host.startswith("127.") and not host.startswith("127.0.") for host in hosts)


async def test_web_servers_hear_who_asks_from_the_balancer_alone(site: Site) -> None:
    assert (await site.json("/who"))["client"] == "127.0.0.1"
    answer = await site.page("/who", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https")
    assert b"9.9.9.9" not in answer.body
    assert b'"scheme":"http"' in answer.body


async def test_the_name_of_a_request_is_the_same_on_the_way_back(site: Site) -> None:
    answer = await site.page("/who", "X-Request-Id: name-of-this-request")
    assert answer.headers["x-request-id"] == "name-of-this-request"


async def test_scaling_up_and_down_fails_no_request(site: Site) -> None:
    async with site.load(changes, expect=(200, 201)) as load:
        said = await run(site, "scale", "web=4")
        assert "web: 2 → 4" in said
        units: Counter[str] = Counter()
        async with asyncio.timeout(20):
            while len(units) < 4:
                units[(await site.json("/who"))["unit"]] += 1
        await run(site, "scale", "web=2", "--json")
    assert load.tally.failed == 0, load.tally.examples
    assert load.tally.sent > 200
    assert [name for name in site.units() if name.startswith("web")] == ["web.1", "web.2"]
    text = site.file.read_text()
    assert "servers = 2   # both are needed" in text
    release = site.millions("status", "--json").json["release"]
    assert (await site.json("/migrations")).count(release) == 1


@pytest.mark.parametrize(
    ("pairs", "because"),
    [
        pytest.param(("web=0",), "whole number from 1 to 200", id="none"),
        pytest.param(("web=201",), "whole number from 1 to 200", id="too many"),
        pytest.param(("web=50",), "the database accepts 160", id="too many for the database"),
        pytest.param(("web=two",), "whole number from 1 to 200", id="a word"),
        pytest.param(("wbe=2",), "there is no tier", id="a wrong name"),
        pytest.param(("web=3", "balancer=2"), "it is always one", id="one of two is wrong"),
    ],
)
def test_a_number_that_cannot_be_changes_nothing(
    site: Site, pairs: tuple[str, ...], because: str
) -> None:
    before, pids = site.file.read_text(), {name: site.pid(name) for name in site.units()}
    ran = site.millions("scale", *pairs, status=2)
    assert because in ran.err
    assert "try: " in ran.err
    assert site.file.read_text() == before
    assert {name: site.pid(name) for name in site.units()} == pids


async def test_deploys_and_rollbacks_fail_no_request(site: Site) -> None:
    async with site.load(changes, expect=(200, 201)) as load:
        site.behave("good\n")
        before = (await site.run("status", "--json")).json["release"]
        assert "has taken over from" in await run(site, "deploy")
        after = (await site.run("status", "--json")).json["release"]
        await run(site, "deploy", "--rollback")
    assert load.tally.failed == 0, load.tally.examples
    assert load.tally.sent > 200
    assert site.millions("status", "--json").json["release"] == before
    assert (await site.json("/migrations")).count(after) == 1


async def test_a_changed_setting_of_the_balancer_fails_no_request(site: Site) -> None:
    pid = site.pid("balancer.1")
    async with site.load(changes, expect=(200, 201)) as load:
        site.edit('listen = "127', 'max_url_bytes = 300\nlisten = "127')
        await run(site, "up", "--detach")
        assert (await site.page("/who?" + "a" * 400)).status == 414
        site.edit("max_url_bytes = 300\n", "")
        await run(site, "up", "--detach")
    assert load.tally.failed == 0, load.tally.examples
    assert (await site.page("/who?" + "a" * 400)).status == 200
    assert site.pid("balancer.1") == pid


async def test_a_scaling_that_fails_is_undone_in_the_file_too(site: Site) -> None:
    before = site.file.read_text()
    host = site.units()["web.1"]["address"].rpartition(":")[0]
    taken = (host.rpartition(".")[0] + ".3", PRIVATE_PORT)
    with socket.create_server(taken):
        said = await run(site, "scale", "web=3", status=4)
    assert "cannot release" in said
    assert site.file.read_text() == before
    await eventually(lambda: "web.3" not in site.units(), within_s=20)
    assert site.millions("status", "--json").json["well"] is True


async def test_an_interrupted_scaling_is_undone(site: Site) -> None:
    before = site.file.read_text()
    running = site.begin("scale", "web=4")
    await eventually(lambda: "servers = 4" in site.file.read_text(), within_s=20)
    await eventually(lambda: "web.4" in site.units(), within_s=20)
    running.send_signal(signal.SIGINT)
    said, _ = await asyncio.to_thread(running.communicate, timeout=60)
    assert running.returncode == 130, said
    assert site.file.read_text() == before
    assert [name for name in site.units() if name.startswith("web")] == ["web.1", "web.2"]


async def test_climbing_from_one_server_and_back_fails_no_request(
    new_site: Callable[[str], Site],
) -> None:
    site = new_site("climb")
    text = site.file.read_text()
    begin, end = text.index("[balancer]"), text.index("[database]")
    balancer = text[begin:end]
    alone = text.replace(balancer, "").replace("rung = 3", "rung = 1")
    alone = alone.replace("servers = 2   # both are needed", f'listen = "127.0.0.1:{site.port}"')
    site.file.write_text(alone)
    await run(site, "up", "--detach")
    assert list(site.units()) == ["web.1", "database.1"]
    async with site.load(changes, expect=(200, 201)) as load:
        site.file.write_text(alone.replace("rung = 1", "rung = 3"))
        await run(site, "up", "--detach")
        assert "balancer.1" in site.units()
        site.file.write_text(alone)
        await run(site, "up", "--detach")
        assert "balancer.1" not in site.units()
    assert load.tally.failed == 0, load.tally.examples
    site.edit('listen = "127', 'servers = 2\nlisten = "127')
    ran = site.millions("up", "--detach", status=2)
    assert "nothing before them shares the requests" in ran.err
