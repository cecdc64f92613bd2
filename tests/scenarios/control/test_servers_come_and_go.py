"""Servers that join and leave a running balancer, and files that change, must cost no request."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from stacks import READY, SOON_S, Stack, more

from millions.drill.load import Load
from millions.model import Address, File, Pool, Probe, Server, StopStep, Unit
from millions.runtime.pools import Control
from millions.testing import eventually

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
pytestmark = pytest.mark.skipif(not Path(HAPROXY).exists(), reason="haproxy is not installed")

CONFIGURATION = """
global
    stats socket {run}/balancer.sock mode 600 level admin expose-fd listeners
    hard-stop-after 10s
    log stdout format raw daemon
defaults
    mode http
    option idle-close-on-response
    option redispatch 1
    retries 3
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 2s
frontend public
    bind fd@3
    # VERSION
    default_backend servers
frontend private
    bind ADDRESS
    monitor-uri /readyz
backend servers
    balance roundrobin
    {servers}
"""


@dataclass(frozen=True, kw_only=True)
class Balanced:
    """A stack of web units behind a balancer."""

    stack: Stack

    def server(self, number: int, version: str = "1") -> Unit:
        """A web unit that serves the application on its private address."""
        host = f"127.{self.stack.state.identity.network}.1.{number}"
        control = Address(host=host, port=9000)
        return dataclasses.replace(
            self.stack.web(version),
            name=f"web.{number}",
            group="web",
            public=(Address(host=host, port=8000),),
            address=control,
            probe=Probe(address=control, send=READY, expect=b"HTTP/1.1 200", interval_s=0.2),
        )

    def balancer(self, servers: tuple[Unit, ...], version: str = "1", more: str = "") -> Unit:
        private = self.stack.address(3, 8404)
        content = CONFIGURATION.replace("ADDRESS", str(private)).replace("VERSION", version) + more
        return Unit(
            name="balancer.1",
            tier="balancer",
            command=(HAPROXY, "-W", "-f", "{folder}/haproxy.cfg"),
            files=(File(path="haproxy.cfg", content=content),),
            address=private,
            public=(self.stack.public,),
            probe=Probe(address=private, send=READY, expect=b"HTTP/1.", interval_s=0.2),
            stop=(StopStep(signal="SIGUSR1", wait_s=5.0), StopStep(signal="SIGTERM", wait_s=5.0)),
            needs=("web",),
            reload="SIGUSR2",
            pool=Pool(
                socket="{run}/balancer.sock",
                backend="servers",
                options="check inter 1s fall 3 rise 1",
                servers=tuple(Server(unit=each.name, address=each.public[0]) for each in servers),
            ),
        )

    def units(self, count: int, version: str = "1", *, files: str = "1") -> tuple[Unit, ...]:
        servers = tuple(self.server(each, version) for each in range(1, count + 1))
        return (*servers, self.balancer(servers, files))

    @property
    def control(self) -> Control:
        return Control(path=str(self.stack.state.run / "balancer.sock"), backend="servers")

    async def names(self) -> set[str]:
        """The servers that the balancer has at this moment."""
        lines = (await self.control.command("show servers conn servers")).splitlines()
        return {line.split()[0].partition("/")[2] for line in lines if line.startswith("servers/")}

    async def state(self, name: str) -> str:
        """What the balancer says of a server: UP, DRAIN, MAINT, …"""
        lines = (await self.control.command("show stat servers 4 -1")).splitlines()
        rows = csv.DictReader(line.removeprefix("# ") for line in lines)
        return next((row["status"] for row in rows if row["svname"] == name), "gone")

    def on_disk(self) -> set[str]:
        """The servers in its file."""
        path = self.stack.state.unit("balancer.1") / "haproxy.cfg"
        lines = [line.split() for line in path.read_text().splitlines()]
        return {words[1] for words in lines if words and words[0] == "server"}


@pytest.fixture
def balanced(stack: Stack) -> Balanced:
    return Balanced(stack=stack)


async def test_servers_join_and_leave_at_full_load(balanced: Balanced) -> None:
    stack = balanced.stack
    await stack.up(*balanced.units(2))
    pid, worker = stack.pid("balancer.1"), await balanced.control.worker()
    load = Load(stack.public, clients=12, mode="both")
    await load.start()
    await more(load, 200)
    for count in (4, 1, 3, 2):
        await stack.up(*balanced.units(count))
        expected = {f"web.{each}" for each in range(1, count + 1)}
        assert await balanced.names() == balanced.on_disk() == expected
        await more(load, 400)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert (stack.pid("balancer.1"), await balanced.control.worker()) == (pid, worker)
    assert "drained 1" in stack.events("web.4")


async def test_a_new_release_is_rolled_out_behind_the_balancer(balanced: Balanced) -> None:
    stack = balanced.stack
    await stack.up(*balanced.units(3))
    load = Load(stack.public, clients=12, mode="both")
    await load.start()
    await more(load, 200)
    await stack.up(*balanced.units(3, "2"))
    await more(load, 200)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert [stack.told(f"web.{each}").release for each in (1, 2, 3)] == ["r2"] * 3  # type: ignore[union-attr]


async def test_changed_files_are_read_anew_by_the_same_process(balanced: Balanced) -> None:
    stack = balanced.stack
    await stack.up(*balanced.units(2))
    pid, worker = stack.pid("balancer.1"), await balanced.control.worker()
    load = Load(stack.public, clients=12, mode="both")
    await load.start()
    for files, count in (("2", 2), ("3", 3), ("4", 1)):
        await more(load, 200)
        await stack.up(*balanced.units(count, files=files))
        assert await balanced.names() == {f"web.{each}" for each in range(1, count + 1)}
    await more(load, 200)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.pid("balancer.1") == pid
    assert await balanced.control.worker() != worker


async def test_what_the_control_socket_refuses_is_done_by_a_reload(balanced: Balanced) -> None:
    stack = balanced.stack
    await stack.up(*balanced.units(2))
    worker = await balanced.control.worker()
    load = Load(stack.public, clients=12, mode="both")
    await load.start()
    await more(load, 200)
    stranger = f"add server servers/web.3 {stack.address(9)} check"  # of another kind: cannot stay
    await balanced.control.command(stranger.replace(str(stack.address(9)), "abns@elsewhere"))
    await stack.up(*balanced.units(3))
    await more(load, 200)
    assert await balanced.names() == {"web.1", "web.2", "web.3"}
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert await balanced.control.worker() != worker
    assert any("could not be changed" in event for event in stack.events("balancer.1"))


async def test_a_server_with_options_that_a_running_balancer_refuses_joins_by_a_reload(
    balanced: Balanced,
) -> None:
    stack = balanced.stack
    *web, before = balanced.units(3)
    assert before.pool is not None
    few = dataclasses.replace(before.pool, servers=before.pool.servers[:2])
    await stack.up(*web, dataclasses.replace(before, pool=few))
    pid, worker = stack.pid("balancer.1"), await balanced.control.worker()
    *two, third = before.pool.servers
    third = dataclasses.replace(third, options=f"{before.pool.options} tcp-ut 2s", reloads=True)
    more_ = dataclasses.replace(before.pool, servers=(*two, third))
    await stack.up(*web, dataclasses.replace(before, pool=more_))
    assert await balanced.names() == balanced.on_disk() == {"web.1", "web.2", "web.3"}
    assert await balanced.control.worker() != worker
    await stack.up(*web, dataclasses.replace(before, pool=few))
    assert await balanced.names() == {"web.1", "web.2"}
    assert stack.pid("balancer.1") == pid
    assert not any("could not be changed" in event for event in stack.events("balancer.1"))


LATE = """
import signal, socket, sys, time
heard = []
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
server = socket.create_server((sys.argv[1], 9000))
server.settimeout(0.1)
late_s = time.monotonic() + 1.5
while True:
    if time.monotonic() > late_s:
        signal.signal(signal.SIGUSR2, lambda *_: print("heard", flush=True))
    try:
        client, _ = server.accept()
    except TimeoutError:
        continue
    with client:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""
"""It answers before it has a handler, as HAProxy's new worker does before its master has."""


async def test_a_reload_waits_for_the_handler_of_its_signal(balanced: Balanced) -> None:
    stack = balanced.stack
    server = balanced.server(1)

    def late(content: str) -> Unit:
        return dataclasses.replace(
            server,
            name="late.1",
            group="",
            command=(sys.executable, "-c", LATE, str(server.address).partition(":")[0]),
            handover=False,
            public=(),
            files=(File(path="file", content=content),),
            stop=(StopStep(signal="SIGKILL", wait_s=5.0),),
            reload="SIGUSR2",
        )

    await stack.up(late("1"))
    await stack.up(late("2"))
    await eventually(lambda: "heard" in stack.events("late.1"), within_s=SOON_S)


async def test_files_that_are_refused_change_nothing_and_are_told(balanced: Balanced) -> None:
    stack = balanced.stack
    good = balanced.units(2)
    await stack.up(*good)
    pid, worker = stack.pid("balancer.1"), await balanced.control.worker()
    load = Load(stack.public, clients=4, mode="both")
    await load.start()
    bad = balanced.balancer(good[:2], more="nonsense\n")
    stack.run(*good[:2], bad)
    told = await stack.failed("balancer.1", within_s=40.0)
    assert "unknown keyword 'nonsense'" in told.why
    assert await balanced.control.worker() == worker
    await stack.up(*good)  # as the command line does
    assert stack.pid("balancer.1") == pid
    await more(load, 100)
    tally = await load.stop()
    assert tally.failed == 0, tally


@pytest.mark.parametrize("count", [4, 1], ids=["they join", "they leave"])
async def test_a_supervisor_that_dies_while_servers_change_is_replaced(
    balanced: Balanced, count: int
) -> None:
    stack = balanced.stack
    await stack.up(*balanced.units(2))
    pid = stack.pid("balancer.1")
    load = Load(stack.public, clients=12, mode="both")
    await load.start()
    await more(load, 200)
    stack.run(*balanced.units(count))
    await eventually(
        lambda: any(e.startswith("shares") for e in stack.events("balancer.1")), within_s=SOON_S
    )
    await stack.kill_supervisor()
    await stack.up(*balanced.units(2))  # as it was: what was begun must be undone
    assert await balanced.names() == balanced.on_disk() == {"web.1", "web.2"}
    await more(load, 200)
    await stack.up(*balanced.units(3))
    await more(load, 200)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.pid("balancer.1") == pid


async def test_a_server_finishes_its_requests_before_it_is_stopped(balanced: Balanced) -> None:
    stack = balanced.stack
    slow = script_server(balanced, 2)
    fast = balanced.server(1)
    await stack.up(fast, slow, balanced.balancer((fast, slow)))
    load = Load(stack.public, clients=8, mode="both", path="/slow")
    await load.start()
    await more(load, 20)
    await stack.up(fast, balanced.balancer((fast,)))
    await more(load, 20)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert not [event for event in stack.events("web.2") if event.startswith("broken")]


SLOW = """
import os, signal, socket, sys, threading, time
host = sys.argv[1]
busy = []
def stop(*_):
    print("broken" if busy else "idle", len(busy), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
def serve(client):
    with client:
        while data := client.recv(65536):
            slow = b"/slow" in data
            if slow:
                busy.append(1)
                time.sleep(float(sys.argv[2]))
                busy.pop()
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
def listen(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
control = socket.create_server((host, 9000))
threading.Thread(target=listen, args=(control,), daemon=True).start()
public = socket.socket(fileno=3)
public.setblocking(True)
listen(public)
"""
"""It drops what it works at when it is stopped, so that it must have nothing to work at."""


def script_server(balanced: Balanced, number: int, *, slow_s: float = 0.5) -> Unit:
    host = f"127.{balanced.stack.state.identity.network}.1.{number}"
    control = Address(host=host, port=9000)
    return dataclasses.replace(
        balanced.server(number),
        command=(sys.executable, "-c", SLOW, host, str(slow_s)),
        handover=False,
        public=(Address(host=host, port=8000),),
        address=control,
        stop=(StopStep(signal="SIGTERM", wait_s=5.0),),
    )


async def test_servers_join_while_another_one_still_finishes_what_it_has(
    balanced: Balanced,
) -> None:
    stack = balanced.stack
    fast, slow, third = (
        balanced.server(1),
        script_server(balanced, 2, slow_s=8.0),
        balanced.server(3),
    )
    await stack.up(fast, slow, balanced.balancer((fast, slow)))
    load = Load(stack.public, clients=2, path="/slow")
    await load.start()

    async def is_draining() -> bool:
        return await balanced.state("web.2") == "DRAIN"

    stack.run(fast, slow, balanced.balancer((fast,)))
    await eventually(is_draining, within_s=SOON_S)
    stack.run(fast, slow, third, balanced.balancer((fast, third)))

    async def joined() -> bool:
        return (await balanced.state("web.3")).startswith("UP")

    await eventually(joined, within_s=SOON_S)
    assert await is_draining()
    await stack.up(fast, slow, third, balanced.balancer((fast, slow, third)))
    assert (await balanced.state("web.2")).startswith("UP")
    stack.run(fast, third, balanced.balancer((fast, third)))
    await stack.settled(within_s=3 * SOON_S)
    assert await balanced.names() == balanced.on_disk() == {"web.1", "web.3"}
    tally = await load.stop()
    assert tally.failed == 0, tally


async def test_what_a_supervisor_left_half_told_is_told_anew(balanced: Balanced) -> None:
    stack = balanced.stack
    fast, slow = balanced.server(1), script_server(balanced, 2, slow_s=4.0)
    both = (fast, slow, balanced.balancer((fast, slow)))
    await stack.up(*both)
    pid = stack.pid("balancer.1")
    load = Load(stack.public, clients=4, path="/slow")
    await load.start()
    await more(load, 8)
    stack.run(fast, balanced.balancer((fast,)))

    async def is_draining() -> bool:
        return await balanced.state("web.2") == "DRAIN"

    await eventually(is_draining, within_s=SOON_S)
    await stack.kill_supervisor()
    assert await balanced.state("web.2") == "DRAIN"
    await stack.up(*both)
    assert (await balanced.state("web.2")).startswith("UP")
    assert balanced.on_disk() == {"web.1", "web.2"}
    await more(load, 8)
    tally = await load.stop()
    assert tally.failed == 0, tally
    assert stack.pid("balancer.1") == pid


async def test_a_balancer_comes_and_goes_before_a_server_that_people_use(
    balanced: Balanced,
) -> None:
    stack = balanced.stack
    alone = dataclasses.replace(balanced.server(1), public=(stack.public,))
    await stack.up(alone)
    load = Load(stack.public, clients=12, mode="both")
    await load.start()
    for _ in range(2):
        await more(load, 200)
        await stack.up(*balanced.units(2))
        assert await balanced.names() == {"web.1", "web.2"}
        await more(load, 200)
        (told,) = (await stack.up(alone)).units
        assert told.public == (str(stack.public),)
    await more(load, 200)
    tally = await load.stop()
    assert tally.failed == 0, tally


async def test_the_balancer_is_adopted_with_its_sockets(balanced: Balanced) -> None:
    stack = balanced.stack
    await stack.up(*balanced.units(2))
    pid = stack.pid("balancer.1")
    load = Load(stack.public, clients=4, mode="new")
    await load.start()
    await more(load, 50)
    await stack.kill_supervisor()
    await stack.up(*balanced.units(2, files="2"))
    assert stack.pid("balancer.1") == pid
    await more(load, 50)
    tally = await load.stop()
    assert tally.failed == 0, tally
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: stack.pid("balancer.1") not in (0, pid), within_s=SOON_S)
    await stack.settled()
    assert await balanced.names() == {"web.1", "web.2"}


async def test_a_server_that_was_starting_when_its_supervisor_died_can_be_replaced(
    balanced: Balanced,
) -> None:
    """Its socket was refused when the former process died, and it could not hand it over yet."""
    stack = balanced.stack

    def units(version: str) -> tuple[Unit, ...]:
        first, second = balanced.server(1, version), balanced.server(2, version)
        slow = dataclasses.replace(first, command=(*first.command[:-1], "3.0"))
        return (slow, second, balanced.balancer((slow, second)))

    await stack.up(*units("1"))
    before = stack.pid("web.1")
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: stack.pid("web.1") not in (0, before), within_s=SOON_S)
    await stack.kill_supervisor()
    await stack.up(*units("1"))
    await stack.up(*units("2"))
    assert [stack.told(f"web.{each}").release for each in (1, 2)] == ["r2"] * 2  # type: ignore[union-attr]
