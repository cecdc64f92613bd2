"""The web process must say plainly why it does not serve, and must not be sent requests then."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from millions.runtime.ports import free_port
from millions.testing import EmbeddedPostgres, directory_for, eventually
from millions.testing.load import Connection, ask, get

HERE = Path(__file__).parent
HOST = "127.0.0.1"
STARTING = "not ready\n  because: starting: the application is not up yet\n"


class Process:
    """One web process and what it wrote."""

    def __init__(self, folder: Path, *, target: str = "web_app:app", **environment: str) -> None:
        self.port, self.private = free_port(), free_port()
        self.log = folder / f"web-{secrets.token_hex(3)}.log"
        known = {
            "MILLIONS_DIRECTORY": str(folder / "directory.json"),
            "MILLIONS_PRIVATE": f"{HOST}:{self.private}",
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        with self.log.open("wb") as log:
            self.running = subprocess.Popen(
                [
                    *(sys.executable, "-m", "millions.sdk.server", target),
                    *("--bind", f"{HOST}:{self.port}"),
                ],
                cwd=HERE,
                env={**os.environ, **known},
                stdout=log,
                stderr=log,
            )

    async def ended(self, within_s: float = 30) -> int:
        await eventually(lambda: self.running.poll() is not None, within_s=within_s)
        return self.running.returncode

    async def probe(self, path: str = "/readyz") -> tuple[int, str]:
        answer = await ask(HOST, self.private, get(path)(0))
        return answer.status, answer.body.decode()

    async def ready(self) -> None:
        await eventually(self._is_ready, within_s=30)

    async def _is_ready(self) -> bool:
        assert self.running.poll() is None, self.log.read_text()
        return (await self.probe())[0] == 200


@pytest.fixture
def folder(millions_postgres: EmbeddedPostgres, millions_folder: Path) -> Iterator[Path]:
    made = millions_folder / f"web-{secrets.token_hex(4)}"
    directory = directory_for(millions_postgres.create_database(made.name), made, run_tasks=True)
    (made / "directory.json").write_text(directory.text())
    yield made
    millions_postgres.drop_database(made.name)


@pytest.fixture
async def started() -> AsyncIterator[list[Process]]:
    """Processes to be stopped at the test's end."""
    processes: list[Process] = []
    yield processes
    for each in processes:
        each.running.kill()
        each.running.wait(10)


async def test_an_application_that_does_not_import_shows_its_own_traceback(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder, MISBEHAVES="import")
    started.append(process)
    assert await process.ended() == 3
    lines = process.log.read_text().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "web_app.py" in lines[1]
    assert not [each for each in lines if "millions/sdk" in each or "importlib" in each]
    assert lines[-2] == "  because: LookupError: no such colour: téal"
    assert lines[-1].startswith("  try: mend line ")


async def test_a_startup_that_fails_ends_the_process_with_its_words(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder, MISBEHAVES="startup")
    started.append(process)
    assert await process.ended() == 3
    assert "no colour at the start" in process.log.read_text()


async def test_a_process_that_is_still_starting_is_alive_and_not_ready(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder, MISBEHAVES="hanging")
    started.append(process)
    await eventually(lambda: _hangs(process), within_s=20)
    assert await process.probe() == (503, STARTING)
    assert await process.probe("/healthz") == (200, "alive\n")
    process.running.send_signal(signal.SIGTERM)
    assert await process.ended(10) == 0


def _hangs(process: Process) -> bool:
    return "hanging at the start" in process.log.read_text()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"MILLIONS_DIRECTORY": "/nowhere/directory.json"}, "read /nowhere/directory.json"),
        ({"MILLIONS_DIRECTORY": "", "MILLIONS_DATABASE_URL": ""}, "MILLIONS_DATABASE_URL"),
        ({"MILLIONS_LISTEN_FD": "0"}, "take over the listening socket"),
        ({"MILLIONS_LISTEN_FD": "99"}, "take over the listening socket"),
        ({"MILLIONS_PRIVATE": "203.0.113.1:80"}, "listen on the private address"),
        ({"MILLIONS_TASKS": "no_such_tasks"}, "there is no module 'no_such_tasks'"),
    ],
    ids=["no-directory", "no-stack", "no-listener", "closed-listener", "private", "tasks"],
)
async def test_what_is_missing_is_named_and_ends_the_process(
    folder: Path, started: list[Process], environment: dict[str, str], words: str
) -> None:
    process = Process(folder, **environment)
    started.append(process)
    assert await process.ended() in {1, 3}
    said = process.log.read_text()
    assert words in said
    assert "  try: " in said or "\\n  try: " in said
    assert "millions/sdk" not in said


async def test_a_port_that_is_taken_is_named(folder: Path, started: list[Process]) -> None:
    first = Process(folder)
    started.append(first)
    await first.ready()
    second = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "millions.sdk.server", "web_app:app"),
            *("--bind", f"{HOST}:{first.port}"),
        ],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"cannot listen on {HOST}:{first.port}" in second.stderr
    assert "Address already in use" in second.stderr


async def test_a_database_that_stops_makes_it_unready_until_it_is_back(
    started: list[Process],
) -> None:
    with tempfile.TemporaryDirectory(prefix="millions-web-", dir="/tmp") as name:
        own = Path(name)
        os.chmod(own, 0o711)  # noqa: PTH101
        postgres = EmbeddedPostgres(own / "postgres").start()
        try:
            directory = directory_for(postgres.create_database("web"), own)
            (own / "directory.json").write_text(directory.text())
            process = Process(own)
            started.append(process)
            await process.ready()
            postgres.stop()
            status, words = await eventually(lambda: _unready(process), within_s=20)
            assert status == 503
            assert "the database does not answer" in words
            assert (await process.probe("/healthz"))[0] == 200
            postgres.start()
            await process.ready()
            assert process.running.poll() is None
        finally:
            postgres.remove()


async def _unready(process: Process) -> tuple[int, str] | None:
    found = await process.probe()
    return None if found[0] == 200 else found


async def test_a_draining_process_is_alive_and_not_ready(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder)
    started.append(process)
    await process.ready()
    slow = asyncio.create_task(ask(HOST, process.port, get("/slow")(0)))
    await eventually(lambda: _in_flight(process))
    process.running.send_signal(signal.SIGTERM)
    status, words = await eventually(lambda: _unready(process))
    assert status == 503
    assert "draining" in words
    assert (await process.probe("/healthz"))[0] == 200
    assert (await slow).body == b"slow"
    assert await process.ended() == 0


async def _in_flight(process: Process) -> bool:
    return "millions_requests_in_flight 1.0" in (await process.probe("/metrics"))[1]


async def test_it_runs_tasks_and_leaves_them_to_others_once_it_drains(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder, MILLIONS_TASKS="web_app")
    started.append(process)
    await process.ready()
    await ask(HOST, process.port, b"POST /enqueue?name=one HTTP/1.1\r\nhost: x\r\n\r\n")
    await eventually(lambda: _counted(process, "one"))
    kept, idle = Connection(HOST, process.port), Connection(HOST, process.port)
    await kept.ask(get("/counted?name=one")(0))
    await idle.ask(get("/counted?name=one")(0))  # it keeps the process up for a while
    process.running.send_signal(signal.SIGTERM)
    await eventually(lambda: _unready(process))
    await kept.ask(b"POST /enqueue?name=two HTTP/1.1\r\nhost: x\r\n\r\n")
    assert await process.ended() == 0
    successor = Process(folder)
    started.append(successor)
    await successor.ready()
    await eventually(lambda: _counted(successor, "two"))
    for each in (kept, idle):
        await each.close()


async def _counted(process: Process, name: str) -> bool:
    return (await ask(HOST, process.port, get(f"/counted?name={name}")(0))).body == b"1"


async def test_a_head_without_end_is_refused(folder: Path, started: list[Process]) -> None:
    process = Process(folder)
    started.append(process)
    await process.ready()
    reader, writer = await asyncio.open_connection(HOST, process.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
    for number in range(17):
        writer.write(b"x-%d: %s\r\n" % (number, b"a" * 4000))
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(200), 10)
    assert answer.startswith(b"HTTP/1.1 431 ")
    writer.close()


@pytest.mark.parametrize(
    "bad", [b"\x16\x03\x01\x02", b"GET / HTTP/9\r\n\r\n", b"no words at all\r\n\r\n"]
)
async def test_what_is_not_http_is_refused_and_harms_nobody(
    folder: Path, started: list[Process], bad: bytes
) -> None:
    process = Process(folder)
    started.append(process)
    await process.ready()
    reader, writer = await asyncio.open_connection(HOST, process.port)
    writer.write(bad)
    answer = await asyncio.wait_for(reader.read(200), 10)
    assert answer.startswith(b"HTTP/1.1 400 ")
    writer.close()
    await process.ready()


async def test_a_client_that_goes_on_sending_gets_to_see_that_it_was_refused(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder)
    started.append(process)
    await process.ready()
    length = 200 * 1024 * 1024
    reader, writer = await asyncio.open_connection(HOST, process.port)
    writer.write(b"POST /enqueue HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length)
    sent = 0
    while sent < 8 * 1024 * 1024:
        writer.write(b"a" * 65536)
        await writer.drain()
        sent += 65536
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_an_answered_upload_leaves_its_connection_usable(
    folder: Path, started: list[Process]
) -> None:
    process = Process(folder)
    started.append(process)
    await process.ready()
    kept = Connection(HOST, process.port)
    body = b"a" * (65 * 1024 * 1024)
    refused = await kept.ask(
        b"POST /enqueue HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    assert refused.status == 413
    assert (await kept.ask(get("/counted?name=none")(0))).body == b"0"
    await kept.close()
