"""A request with an Idempotency-Key must take effect exactly once, whatever dies (G3)."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import psutil
import pytest

from millions.model import Address
from millions.testing import EmbeddedPostgres, directory_for, eventually
from millions.testing.load import Answer, Connection, Load

HERE = Path(__file__).parent
HOST = "127.0.0.1"
CLIENTS = 12
KILLS = 3


class Site:
    """Web processes on one listening socket that the test holds, and the rows they wrote."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        self.postgres = postgres
        self.name = folder.name
        directory = directory_for(postgres.create_database(self.name), folder)
        (folder / "directory.json").write_text(directory.text())
        postgres.sql(
            "CREATE TABLE orders (id bigserial PRIMARY KEY, what text)", database=self.name
        )
        self.folder = folder
        self.listener = socket.create_server((HOST, 0), backlog=2048)
        self.port = self.listener.getsockname()[1]
        self.address = Address(host=HOST, port=self.port)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, listener: socket.socket | None = None) -> subprocess.Popen[bytes]:
        descriptor = (listener or self.listener).fileno()
        known = {
            "MILLIONS_DIRECTORY": str(self.folder / "directory.json"),
            "MILLIONS_LISTEN_FD": str(descriptor),
            "MILLIONS_LOG_LEVEL": "warning",
        }
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "millions.sdk.server", "keyed_app:app"],
                cwd=HERE,
                env={**os.environ, **known},
                pass_fds=[descriptor],
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    async def ask(self, connection: Connection, key: str, **body: object) -> Answer:
        content = orjson.dumps({"user": "ann", "what": key, **body})
        head = (
            f"POST /orders HTTP/1.1\r\nhost: x\r\nidempotency-key: {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        return await connection.ask(head.encode() + content)

    async def insist(self, key: str, *, port: int = 0, **body: object) -> Answer:
        """Ask until there is an answer, as a balancer or a careful client does."""
        for _ in range(200):
            connection = Connection(HOST, port or self.port)
            try:
                answer = await self.ask(connection, key, **body)
            except (OSError, EOFError):
                await asyncio.sleep(0.02)
                continue
            finally:
                await connection.close()
            return answer
        raise AssertionError(f"{key} was not answered")

    def stored(self) -> dict[str, int]:
        rows = self.postgres.sql(
            "SELECT what, count(*) FROM orders GROUP BY what", database=self.name
        )
        return {each.split("|")[0]: int(each.split("|")[1]) for each in rows.splitlines()}

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)
        self.listener.close()
        self.postgres.drop_database(self.name)


@pytest.fixture
async def site(millions_postgres: EmbeddedPostgres, millions_folder: Path) -> AsyncIterator[Site]:
    folder = millions_folder / f"site-{secrets.token_hex(4)}"
    folder.mkdir()
    running = Site(millions_postgres, folder)
    yield running
    running.close()


async def test_no_request_fails_or_takes_effect_twice_when_the_web_process_is_killed(
    site: Site,
) -> None:
    answers: dict[str, Answer] = {}
    stop = asyncio.Event()

    async def client(number: int) -> None:
        turn = 0
        while not stop.is_set():
            key = f"client-{number}-{turn}"
            answers[key] = await site.insist(key, after_s=0.002)
            turn += 1

    process = site.start()
    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    for _ in range(KILLS):
        seen = len(answers)
        await eventually(lambda seen=seen: len(answers) > seen + 60, within_s=30)
        process.kill()
        process.wait(10)
        process = site.start()
    seen = len(answers)
    await eventually(lambda: len(answers) > seen + 60, within_s=30)
    stop.set()
    await asyncio.gather(*clients)

    assert {each.status for each in answers.values()} <= {200, 201}
    assert site.stored() == dict.fromkeys(answers, 1)
    lost = [key for key, each in answers.items() if each.status == 200]
    assert {answers[key].headers["idempotency-replayed"] for key in lost} <= {"effect-only"}
    assert len(lost) <= KILLS * CLIENTS, "only what was in flight may have lost its answer"
    for key in list(answers)[::25]:
        again = await site.insist(key, after_s=0.002)
        assert (again.status, again.body) == (answers[key].status, answers[key].body)


async def test_a_request_that_died_before_its_commit_runs_again_at_once(site: Site) -> None:
    process = site.start()
    await site.insist("warm")
    slow = asyncio.create_task(site.insist("slow", before_s=4))
    await eventually(lambda: asyncio.to_thread(_locked, site))
    process.kill()
    process.wait(10)
    site.start()
    assert (await slow).status == 201
    assert site.stored()["slow"] == 1


async def test_two_processes_never_run_one_key_at_the_same_time(site: Site) -> None:
    first, second = site.start(), site.start()
    keys = [f"k{number}" for number in range(10)]
    asked = [site.insist(key, before_s=0.05, after_s=0.05) for key in keys for _ in range(6)]
    answers = await asyncio.gather(*asked)
    assert {each.status for each in answers} == {201}
    assert len({each.body for each in answers}) == len(keys)
    assert site.stored() == dict.fromkeys(keys, 1)
    numbers = site.postgres.sql("SELECT last_value FROM orders_id_seq", database=site.name)
    assert int(numbers) == len(keys), "an insert that was rolled back would have used a number"
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
        assert await eventually(lambda process=process: process.poll() is not None, within_s=20)
        assert process.returncode == 0


async def test_when_the_lock_is_lost_the_row_alone_keeps_a_second_effect_out(site: Site) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        for each in (None, listener):
            site.start(each)
        await site.insist("warm")
        await site.insist("warm", port=port)
        first = asyncio.create_task(site.insist("slow", before_s=4))
        await eventually(lambda: asyncio.to_thread(_locked, site))
        site.postgres.sql(  # the connection that holds the locks dies, as in a failover
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            f" AND database = (SELECT oid FROM pg_database WHERE datname = '{site.name}')",
            database=site.name,
        )
        second = asyncio.create_task(site.insist("slow", port=port, before_s=4))
        answers = [await first, await second]
    assert site.stored() == {"warm": 1, "slow": 1}
    assert [each.status for each in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    numbers = site.postgres.sql("SELECT last_value FROM orders_id_seq", database=site.name)
    assert int(numbers) == 3, "both have run, and one was rolled back"


async def test_an_expired_key_is_a_new_one(site: Site) -> None:
    site.start()
    first = await site.insist("old")
    site.postgres.sql(
        "UPDATE millions.idempotency SET expires_at = now() - interval '1 second'",
        database=site.name,
    )
    second = await site.insist("old")
    assert (first.status, second.status) == (201, 201)
    assert first.body != second.body
    assert site.stored()["old"] == 2


def _locked(site: Site) -> bool:
    """Whether a request holds the lock of its key."""
    found = site.postgres.sql(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        f"(SELECT oid FROM pg_database WHERE datname = '{site.name}')",
        database=site.name,
    )
    return int(found) > 0


async def test_handovers_of_the_whole_process_fail_no_write(site: Site) -> None:
    def order(number: int) -> bytes:
        content = orjson.dumps({"user": f"user-{number % 50}", "what": f"n{number}"})
        head = f"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
        return head.encode() + content

    process = site.start()
    await site.insist("warm")
    async with Load(site.address, request=order, clients=12, mode="both", expect=(201,)) as load:
        for _ in range(2):
            successor = site.start()
            await eventually(lambda pid=successor.pid: _serves(pid, site.port), within_s=20)
            process.send_signal(signal.SIGTERM)
            await eventually(lambda process=process: process.poll() is not None, within_s=20)
            assert process.returncode == 0
            process = successor
    assert load.tally.failed == 0, load.tally.examples
    assert sum(site.stored().values()) == load.tally.sent + 1


def _serves(pid: int, port: int) -> bool:
    """Whether a process has taken connections from the listening socket."""
    found = psutil.Process(pid).net_connections("tcp")
    return any(each.laddr.port == port and each.raddr for each in found)
