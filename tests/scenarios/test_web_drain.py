"""A web process that stops must not fail a request that its successor can answer."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from millions.model import Address
from millions.testing import eventually
from millions.testing.load import Connection, Load, ask, get

PROGRAM = Path(__file__).with_name("drain_program.py")
HOST = "127.0.0.1"
HANDOVERS = 6


class Web:
    """Starts web processes on one listening socket and stops them all, by pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server((HOST, 0), backlog=2048)
        self.port = self.listener.getsockname()[1]
        self.address = Address(host=HOST, port=self.port)
        self.door = folder / "web.listen"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, listener: socket.socket | None = None) -> subprocess.Popen[str]:
        descriptor = (listener or self.listener).fileno()
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env={
                **os.environ,
                "MILLIONS_LISTEN_FD": str(descriptor),
                "MILLIONS_HANDOVER": str(self.door),
            },
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    async def started(self, listener: socket.socket | None = None) -> subprocess.Popen[str]:
        process = self.start(listener)
        await self.says(process, "ready")
        return process

    async def says(self, process: subprocess.Popen[str], word: str) -> None:
        assert process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 15)
        assert line == f"{word}\n"

    async def ended(self, process: subprocess.Popen[str], within_s: float = 15) -> int:
        await eventually(lambda: process.poll() is not None, within_s=within_s)
        return process.returncode

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()
        self.listener.close()


@pytest.fixture
def web() -> Iterator[Web]:
    with tempfile.TemporaryDirectory(prefix="millions-web-", dir="/tmp") as folder:
        running = Web(Path(folder))
        yield running
        running.close()


@pytest.fixture
async def connection(web: Web) -> AsyncIterator[Connection]:
    kept = Connection(HOST, web.port)
    yield kept
    await kept.close()


async def test_handovers_at_full_load_fail_no_request(web: Web) -> None:
    process = await web.started()
    served: set[int] = {process.pid}
    async with Load(web.address, request=get("/pid"), clients=24, mode="both") as load:
        for _ in range(HANDOVERS):
            seen = load.tally.sent
            successor = await web.started()
            process.send_signal(signal.SIGTERM)
            assert await web.ended(process) == 0
            process = successor
            served.add(process.pid)
            await eventually(lambda seen=seen: load.tally.sent > seen + 200)
    assert load.tally.failed == 0, load.tally.examples
    assert load.tally.answered[200] == load.tally.sent > HANDOVERS * 200
    assert len(served) == HANDOVERS + 1


async def test_requests_under_way_at_a_handover_are_answered(web: Web) -> None:
    process = await web.started()
    async with Load(web.address, request=get("/slow?ms=300"), clients=16, mode="both") as load:
        await eventually(lambda: load.tally.answered[200] >= 16)
        await web.started()
        process.send_signal(signal.SIGTERM)
        assert await web.ended(process) == 0
    assert load.tally.failed == 0, load.tally.examples


async def test_nothing_waiting_in_the_accept_queue_is_lost(web: Web) -> None:
    waiting = [Connection(HOST, web.port) for _ in range(50)]
    asked = [asyncio.create_task(each.ask(get("/pid")(0))) for each in waiting]
    process = web.start()  # nobody accepted yet: all of them wait in the queue
    process.send_signal(signal.SIGSTOP)
    await web.started()
    answers = await asyncio.gather(*asked)
    assert {each.status for each in answers} == {200}
    process.send_signal(signal.SIGCONT)
    for each in waiting:
        await each.close()


async def test_a_stopping_process_tells_its_connections_to_close(
    web: Web, connection: Connection
) -> None:
    process = await web.started()
    assert "connection" not in (await connection.ask(get("/pid")(0))).headers
    process.send_signal(signal.SIGTERM)
    await web.says(process, "draining")
    answer = await connection.ask(get("/pid")(0))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await web.ended(process) == 0


async def test_an_answer_that_promised_to_keep_its_connection_keeps_it(
    web: Web, connection: Connection
) -> None:
    process = await web.started()
    streaming = asyncio.create_task(connection.ask(get("/stream?ms=700")(0)))
    await eventually(lambda: _connected(process) == 1)
    reader = await asyncio.wait_for(_head_received(connection), 5)
    assert b"connection" not in reader
    process.send_signal(signal.SIGTERM)
    assert (await streaming).body == str(process.pid).encode()
    again = await connection.ask(get("/pid")(0))
    assert (again.status, again.headers["connection"]) == (200, "close")


async def test_an_idle_connection_is_closed_only_after_it_was_idle_for_long(
    web: Web, connection: Connection
) -> None:
    process = await web.started()
    await connection.ask(get("/pid")(0))
    began_s = asyncio.get_running_loop().time()
    process.send_signal(signal.SIGTERM)
    assert await web.ended(process) == 0
    assert 4.9 <= asyncio.get_running_loop().time() - began_s < 9


async def test_a_half_sent_upload_is_finished_while_draining(web: Web) -> None:
    process = await web.started()
    reader, writer = await asyncio.open_connection(HOST, web.port)
    writer.write(b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nabc")
    await eventually(lambda: _connected(process) == 1)
    process.send_signal(signal.SIGTERM)
    await web.says(process, "draining")
    writer.write(b"def")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"6")
    writer.close()
    assert await web.ended(process) == 0


async def test_a_second_signal_stops_at_once(web: Web, connection: Connection) -> None:
    process = await web.started()
    slow = asyncio.create_task(connection.ask(get("/slow?ms=20000")(0)))
    await eventually(lambda: _connected(process) == 1)
    process.send_signal(signal.SIGTERM)
    await web.says(process, "draining")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert await web.ended(process, within_s=10) == 143
    with pytest.raises((EOFError, OSError)):
        await slow


async def test_the_listener_is_handed_to_whoever_asks_as_the_same_user(web: Web) -> None:
    process = await web.started()
    web.listener.close()  # the supervisor is gone
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(5)
        await asyncio.to_thread(asker.connect, str(web.door))
        message, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, asker, 64, 4)
    assert message == b"listener"
    assert len(descriptors) == 1
    with socket.socket(fileno=descriptors[0]) as received:
        assert received.getsockname()[1] == web.port
        successor = await web.started(received)
        process.send_signal(signal.SIGTERM)
        await web.ended(process)
    assert (await ask(HOST, web.port, get("/pid")(0))).body == str(successor.pid).encode()
    assert web.door.exists(), "the successor's door was removed by its predecessor"


async def test_a_draining_process_costs_next_to_nothing(web: Web, connection: Connection) -> None:
    process = await web.started()
    await web.started()
    await connection.ask(get("/pid")(0))
    watched = psutil.Process(process.pid)
    before = sum(watched.cpu_times()[:2])
    process.send_signal(signal.SIGTERM)
    async with Load(
        web.address, request=get("/pid"), clients=4, mode="new", rate_per_s=400
    ) as load:
        await eventually(lambda: load.tally.sent > 400)
    spent_s = sum(watched.cpu_times()[:2]) - before
    assert spent_s < 0.5, "it must not wake for connections that its successor accepts"


def _connected(process: subprocess.Popen[str]) -> int:
    found = psutil.Process(process.pid).net_connections("tcp")
    return sum(1 for each in found if each.status == psutil.CONN_ESTABLISHED)


async def _head_received(connection: Connection) -> bytes:
    """Wait until the head of the answer is with the client; answer it in small letters."""
    await eventually(lambda: b"\r\n\r\n" in connection.received, within_s=5)
    return connection.received.partition(b"\r\n\r\n")[0].lower()
