"""After a crash only requests in flight that may not be repeated may fail (G3, G9)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Self

from site_stack import HOST, post

from millions.testing import eventually
from millions.testing.load import Connection, get

if TYPE_CHECKING:
    from site_stack import Site

CLIENTS = 12
KILLS = 3


class Clients:
    """Clients that ask once and note what came of it; nothing is asked twice."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: dict[str, int] = {}
        self.broken: Counter[str] = Counter()
        self.words: list[str] = []
        self.slowest_s: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.wait(self._tasks, timeout=60)

    async def more(self, answers: int) -> None:
        before = len(self.answers)
        await eventually(lambda: len(self.answers) > before + answers, within_s=60)

    async def _client(self, number: int) -> None:
        kinds = ("keyed", "read", "bare")
        kind, turn = kinds[number % 3], 0
        connection = Connection(HOST, self._site.port)
        while not self._stopping:
            name = f"{kind}-{number}-{turn}"
            turn += 1
            began_s = time.monotonic()
            try:
                self.answers[name] = (await connection.ask(request(kind, name))).status
            except (OSError, EOFError, TimeoutError) as error:
                self.answers[name] = 0
                self.words.append(f"{name}: {error!r}")
            if self.answers[name] not in {200, 201}:
                self.broken[kind] += 1
                self.words.append(f"{name}: {self.answers[name]}")
                await connection.close()
                connection = Connection(HOST, self._site.port)
            self.slowest_s[kind] = max(self.slowest_s[kind], time.monotonic() - began_s)
        await connection.close()


def request(kind: str, name: str) -> bytes:
    if kind == "read":
        return get("/who")(0)
    key = [f"idempotency-key: {name}"] if kind == "keyed" else []
    return post(name, *key, after_s=0.002)


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


async def well(site: Site) -> None:
    await eventually(site.well, within_s=40)


async def test_killed_web_servers_fail_nothing_that_may_be_repeated(site: Site) -> None:
    async with Clients(site) as clients:
        for turn in range(KILLS):
            await clients.more(100)
            await well(site)
            site.kill(f"web.{turn % 2 + 1}")
        await clients.more(100)
        await well(site)
    stored = await site.json("/orders")
    done = [name for name, status in clients.answers.items() if status == 201]
    assert clients.broken["keyed"] == 0, [each for each in clients.words if "bare" not in each]
    assert clients.broken["read"] == 0, clients.words
    in_flight = KILLS * CLIENTS / 3
    assert clients.broken["bare"] <= 3 * in_flight, "until the supervisor has noticed the death"
    assert [name for name in done if stored.get(name) != 1] == [], "acknowledged, and there once"
    assert [name for name, count in stored.items() if count > 1] == [], "nothing twice"


async def test_all_web_servers_killed_at_once_answer_again(site: Site) -> None:
    await well(site)
    for name in ("web.1", "web.2"):
        site.kill(name)

    await eventually(lambda: answers(site), within_s=30)
    await well(site)


async def answers(site: Site) -> bool:
    with contextlib.suppress(OSError, EOFError):
        return (await site.page("/who")).status == 200
    return False


async def test_a_killed_balancer_costs_only_its_own_connections(site: Site) -> None:
    await well(site)
    async with site.load(clients=CLIENTS, mode="keep-alive") as load:
        await eventually(lambda: load.tally.sent > 200, within_s=30)
        killed_s = time.monotonic()
        site.kill("balancer.1")
        await eventually(lambda: answers(site), within_s=10)
        gone_s = time.monotonic() - killed_s
        sent = load.tally.sent
        await eventually(lambda: load.tally.sent > sent + 200, within_s=30)
    refused = load.tally.failures["ConnectionRefusedError"]
    assert refused == 0, "the supervisor holds the socket: who comes waits for the next balancer"
    assert load.tally.failed <= 2 * CLIENTS, load.tally.examples
    assert gone_s < 5
    await well(site)


async def test_a_killed_worker_of_the_balancer_is_a_killed_balancer(site: Site) -> None:
    await well(site)
    pid = site.pid("balancer.1")
    os.kill(child_of(pid), signal.SIGKILL)
    await eventually(lambda: site.pid("balancer.1") != pid, within_s=20)
    await eventually(lambda: answers(site), within_s=10)
    await well(site)


async def test_a_killed_supervisor_is_not_noticed_and_its_successor_goes_on(site: Site) -> None:
    await well(site)
    pids = {name: site.pid(name) for name in site.units()}
    async with site.load(clients=CLIENTS) as load:
        os.kill(site.supervisor(), signal.SIGKILL)
        sent = load.tally.sent
        await eventually(lambda: load.tally.sent > sent + 200, within_s=30)
        await asyncio.to_thread(site.millions, "up", "--detach")
    assert load.tally.failed == 0, load.tally.examples
    assert {name: site.pid(name) for name in site.units()} == pids
    site.kill("balancer.1")
    await eventually(lambda: answers(site), within_s=10)
    await well(site)


async def test_without_a_supervisor_a_dead_web_server_is_left_out(site: Site) -> None:
    await well(site)
    os.kill(site.supervisor(), signal.SIGKILL)
    try:
        async with site.load(clients=CLIENTS) as load:
            site.kill("web.1")
            sent = load.tally.sent
            await eventually(lambda: load.tally.sent > sent + 300, within_s=30)
            units = {(await site.json("/who"))["unit"] for _ in range(20)}
    finally:
        site.millions("up", "--detach")
    assert units == {"web.2"}
    assert load.tally.failed == 0, load.tally.examples
    await well(site)
