"""The Redis and the PostgreSQL of bench/tasks.py: its own, stopped by pid, and their CPU."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from millions.testing import EmbeddedPostgres, directory_for, postgres, valkey

STOP_WITHIN_S = 10.0
TICK = os.sysconf("SC_CLK_TCK")


def server_cpu_s(pid: int) -> float:
    """CPU seconds of a server: the process, its live children, and those it has reaped."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(entry.name) == pid:
            total += sum(int(each) for each in fields[11:15])
        elif int(fields[1]) == pid:
            total += sum(int(each) for each in fields[11:13])
    return total / TICK


class Redis:
    """A Redis of the bench's own, with `appendonly everysec`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        program = shutil.which("redis-server") or str(valkey.program())
        self.process = subprocess.Popen(
            [
                *(program, "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--dir", str(folder), "--save", "", "--appendonly", "yes"),
                *("--appendfsync", "everysec"),
            ],
            stdout=subprocess.DEVNULL,
        )
        self._say("PING")

    def url(self, name: str) -> str:
        """What the side of this name connects with; it is emptied."""
        del name
        self._say("FLUSHALL")
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """Stop by pid."""
        self.process.terminate()
        self.process.wait(STOP_WITHIN_S)

    def _say(self, word: str) -> None:
        deadline = time.monotonic() + STOP_WITHIN_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(f"{word}\r\n".encode())
                    connection.recv(64)
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


class Postgres:
    """A PostgreSQL of the bench's own, with fsync; a database for each run."""

    def __init__(self, folder: Path) -> None:
        postgres.SETTINGS.update(
            fsync="on", full_page_writes="on", shared_buffers="128MB", max_wal_size="2GB"
        )
        self.folder = folder
        self.server = EmbeddedPostgres(folder / "postgres").start()
        assert self.server.process is not None
        self.process = self.server.process
        self.runs = 0

    def url(self, name: str) -> str:
        """What the side of this name connects with: a database that nobody used before."""
        self.server.drop_database(f"run_{self.runs}")
        self.runs += 1
        found = self.server.create_database(f"run_{self.runs}")
        if name.startswith("Millions"):
            place = self.folder / "directory.json"
            place.write_text(directory_for(found, self.folder / f"stack-{self.runs}").text())
            return str(place)
        server = self.server
        return f"postgresql://app:{server.password}@127.0.0.1:{server.port}/run_{self.runs}"

    def stop(self) -> None:
        """Stop by pid."""
        self.server.stop()
