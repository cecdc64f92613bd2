"""A real store for tests: keepers and Valkey servers of its own, in folders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millions.directory import Endpoint, StorePlace
from millions.testing.valkey import program
from millions.tiers import keeper

if TYPE_CHECKING:
    from pathlib import Path

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
ASK_WITHIN_S = 2.0
LOOK_S = 0.02
MEMORY_MIB = 64
NETWORKS = (100, 199)
INDICES = (100, 250)
"""The third byte of its addresses: no tier has one so high, so no stack has the same address."""

TRIES = 50


_EMPTY = (
    "for _, name in ipairs(redis.call('KEYS', '[dcz]:*')) do redis.call('DEL', name) end return 1"
)


@dataclass(slots=True)
class EmbeddedStore:
    """A store of several servers below `folder`; its methods block. Servers count from 1."""

    folder: Path
    servers: int = 3
    memory_mib: int = MEMORY_MIB
    network: int = 0
    index: int = 0
    processes: dict[int, subprocess.Popen[Any]] = field(
        default_factory=dict[int, "subprocess.Popen[Any]"]
    )

    @property
    def place(self) -> StorePlace:
        """Where it answers, as a directory says it."""
        return StorePlace(
            servers=tuple(Endpoint(host=self._host(n), port=keeper.PORT) for n in self.numbers),
            password_file=str(self.folder / "password"),
        )

    @property
    def numbers(self) -> range:
        """The numbers of its servers."""
        return range(1, self.servers + 1)

    def _host(self, number: int) -> str:
        """The address of one server."""
        return f"127.{self.network}.{self.index}.{number}"

    def start(self) -> EmbeddedStore:
        """Start every server, and wait until one leads and the others have what it has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        if not password.exists():
            password.write_text(secrets.token_urlsafe(24))
            password.chmod(0o600)
        if not self.network:
            self.network, self.index = _free_network()
        for number in self.numbers:
            self.begin(number)
        self.wait_ready()
        return self

    def begin(self, number: int) -> None:
        """Start one server."""
        home = self.folder / f"store.{number}"
        home.mkdir(exist_ok=True)
        text = keeper.configuration(
            home.name,
            {f"store.{n}": self._host(n) for n in self.numbers},
            program=str(program()),
            password_file=str(self.folder / "password"),
            folder=str(home),
            memory_mib=self.memory_mib,
        )
        (home / keeper.FILE_NAME).write_text(text)
        with (home / "log").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                [sys.executable, "-m", "millions.programs.keeper", str(home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"LC_ALL": "C"},
            )

    def _health(self, number: int) -> tuple[bool, bool]:
        """Whether a server is good, and whether it leads."""
        try:
            with socket.create_connection(
                (self._host(number), keeper.HEALTH_PORT), timeout=ASK_WITHIN_S
            ) as asked:
                asked.sendall(keeper.ASK_HEALTH)
                answer = b""
                while part := asked.recv(4096):
                    answer += part
        except OSError:
            return False, False
        head, _, body = answer.partition(b"\r\n\r\n")
        return b" 200 " in head, bool(json.loads(body)["leads"]) if body else False

    def leader(self) -> int:
        """The number of the server that leads; 0 when none does."""
        return next((n for n in self.numbers if self._health(n) == (True, True)), 0)

    def wait_ready(self) -> None:
        """Wait until every server is good; one that has ended is started again, as in a stack."""
        ends_at_s = time.monotonic() + READY_WITHIN_S
        while not all(self._health(n)[0] for n in self.numbers):
            for number, process in list(self.processes.items()):
                if process.poll() is not None:
                    self.begin(number)
            if time.monotonic() > ends_at_s:
                raise TimeoutError(f"the servers in {self.folder} are not ready")
            time.sleep(LOOK_S)

    def empty(self) -> None:
        """Delete every key of applications."""
        number = wait_leader(self)
        with socket.create_connection(
            (self._host(number), keeper.PORT), timeout=ASK_WITHIN_S
        ) as asked:
            password = (self.folder / "password").read_text()
            asked.sendall(f"AUTH {password}\r\nEVAL {json.dumps(_EMPTY)} 0\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:  # noqa: PLR2004  # the answers to both
                part = asked.recv(4096)
                if not part:
                    raise ConnectionResetError(f"the store ended the connection after {answer!r}")
                answer += part
            if b"-" in answer:
                raise OSError(answer.decode())

    def _family(self, number: int) -> tuple[int, ...]:
        """The processes of one server: its keeper, and its Valkey."""
        pid = self.processes[number].pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:  # noqa: PTH123
                return (pid, *(int(each) for each in children.read().split()))
        except OSError:
            return (pid,)

    def send(self, number: int, sent: signal.Signals) -> None:
        """Send a signal to all processes of a server: SIGSTOP freezes it, SIGCONT lets it go on."""
        for pid in self._family(number):
            with contextlib.suppress(ProcessLookupError):  # one of them may have ended meanwhile
                os.kill(pid, sent)

    def kill(self, number: int) -> None:
        """Kill a server as a power cut does, and wait until it is gone."""
        for pid in self._family(number):
            with contextlib.suppress(ProcessLookupError):  # a Valkey ends with its keeper
                os.kill(pid, signal.SIGKILL)
        self.processes.pop(number).wait(STOP_WITHIN_S)

    def stop(self, number: int) -> None:
        """Let a server end in peace, and wait until it has."""
        process = self.processes.pop(number)
        process.terminate()
        process.wait(STOP_WITHIN_S)

    def fill_disk(self, number: int) -> None:
        """Let a server write nothing more to its files, as on a full disk, and see it end."""
        valkey = self._family(number)[-1]
        resource.prlimit(valkey, resource.RLIMIT_FSIZE, (1, 1))
        self.processes.pop(number).wait(STOP_WITHIN_S)

    def end(self) -> None:
        """Kill what is left."""
        for number in list(self.processes):
            self.kill(number)


def wait_leader(store: EmbeddedStore) -> int:
    """Wait until a server leads: for a moment none may. Answer its number."""
    ends_at_s = time.monotonic() + READY_WITHIN_S
    while not (number := store.leader()):
        if time.monotonic() > ends_at_s:
            raise TimeoutError(f"no server in {store.folder} leads")
        time.sleep(LOOK_S)
    return number


def _free_network() -> tuple[int, int]:
    """Numbers N and I of which nothing of ours listens on 127.N.I.y."""
    for _ in range(TRIES):
        network, index = random.randint(*NETWORKS), random.randint(*INDICES)  # noqa: S311  # no secret
        try:
            with socket.create_server((f"127.{network}.{index}.1", keeper.HEALTH_PORT)):
                return network, index
        except OSError:
            continue
    raise TimeoutError("no free network")
