"""A cache server that dies, freezes, joins or leaves must fail no request and serve nothing old."""

from __future__ import annotations

import json
import signal
import socket
import stat
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from cached_stack import HOST, NAMES, Clients, ask

from millions.sdk.cache import reuse
from millions.testing import eventually
from millions.testing.load import Connection

if TYPE_CHECKING:
    from cached_stack import CachedStack


async def test_each_server_killed_in_turn_and_one_frozen_fail_no_request(
    stack: CachedStack,
) -> None:
    await stack.all_used(2)
    web = (await stack.about())["pid"]
    async with Clients(stack) as clients:
        await clients.more(200)
        for name in ("cache.1", "cache.2"):
            killed = stack.send(name, signal.SIGKILL)
            await clients.more(200)
            await eventually(
                lambda name=name, killed=killed: stack.units()[name]["pid"] not in (None, killed),
                within_s=30,
            )
            await stack.all_used(2)
        stack.send("cache.1", signal.SIGSTOP)
        try:
            await clients.more(200)
        finally:
            stack.send("cache.1", signal.SIGCONT)
        await clients.more(200)
    assert clients.writes > 20
    assert (clients.failed, clients.stale) == ([], [])
    assert (await stack.about())["pid"] == web


async def test_servers_join_and_leave_without_a_failed_request_or_another_web_process(
    stack: CachedStack,
) -> None:
    await stack.all_used(2)
    web = (await stack.about())["pid"]
    servers = 2
    async with Clients(stack) as clients:
        for wanted in (3, 0, 2):
            stack.edit(f"servers = {servers}", f"servers = {wanted}")
            servers = wanted
            stack.millions("up", "--detach")
            await stack.all_used(wanted)
            await clients.more(200)
            assert len([name for name in stack.units() if name.startswith("cache")]) == wanted
    assert (clients.failed, clients.stale) == ([], [])
    assert (await stack.about())["pid"] == web


async def test_its_figures_can_be_asked_for(stack: CachedStack) -> None:
    await stack.all_used(2)
    await ask_again_and_again(stack)
    async with Clients(stack) as clients:
        await clients.more(300)

    def told() -> bool:
        said = json.loads(stack.millions("cache", "stats", "--json"))
        names = {each["name"] for each in said["hottest"]}
        return "number:n0" in names and said["processes"][0]["hit_ratio"] > 0

    await eventually(told, within_s=30)
    said = json.loads(stack.millions("cache", "stats", "--json"))
    assert [each["address"] for each in said["servers"]] == [
        stack.units()[name]["address"] for name in ("cache.1", "cache.2")
    ]
    assert all(each["capacity_bytes"] < 32 << 20 for each in said["servers"])
    assert sum(each["keys"] for each in said["servers"]) >= NAMES
    estimates = [each["estimates"] for each in said["servers"] if each["estimates"]]
    assert estimates
    for each in estimates:
        assert [one["memory"] for one in each] == [0.5, 1, 2, 4]
        assert 0 < each[1]["share"] == each[2]["share"] == each[3]["share"]
    assert all(each["evictions"] == 0 for each in said["servers"])
    assert "it was never full" in stack.millions("cache", "stats")
    stack.send("cache.2", signal.SIGSTOP)
    try:
        assert "away" in stack.millions("cache", "stats")
    finally:
        stack.send("cache.2", signal.SIGCONT)


async def ask_again_and_again(stack: CachedStack) -> None:
    """Have servers asked for names that they look at: a write makes a process ask anew."""
    names = (n for n in map("sampled{}".format, count()) if reuse.is_sampled(f"number:{n}"))
    connection = Connection(HOST, stack.port)
    for name in list(islice(names, 4)) * 3:
        await ask(connection, "POST", f"/numbers/{name}")
        await ask(connection, "GET", f"/numbers/{name}")
    await connection.close()


def test_a_server_asks_for_a_password_that_stands_in_no_argument(stack: CachedStack) -> None:
    password = (stack.state / "secrets" / "cache").read_text().strip()
    unit = stack.units()["cache.1"]
    said = Path(f"/proc/{unit['pid']}/cmdline").read_bytes()
    assert password.encode() not in said
    written = [
        each
        for each in (stack.state / "units" / "cache.1").rglob("*")
        if each.is_file() and password in each.read_text(errors="replace")
    ]
    assert [each.name for each in written] == ["valkey-running.conf"]
    assert stat.S_IMODE(written[0].stat().st_mode) == 0o600
    host, port = unit["address"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET e:number:n1\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")
