"""Stacks for scenario tests: a state folder of its own, units made of small programs."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from millions.model import Address, Certificate, Preparation, Probe, StopStep, Unit
from millions.runtime import desired, logs, processes, status, supervisor
from millions.runtime.desired import Desired
from millions.runtime.ports import free_port
from millions.testing import eventually

if TYPE_CHECKING:
    from millions.drill.load import Load
    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status, UnitStatus

PROGRAM = Path(__file__).with_name("program.py")
READY = b"GET /readyz HTTP/1.1\r\nHost: unit\r\nConnection: close\r\n\r\n"
SOON_S = 20.0
"""Bound of waits for what takes a fraction of a second on a machine that is not loaded."""


@dataclass
class Stack:
    """One stack of a test."""

    state: StateFolder
    wanted: Desired = field(default_factory=lambda: Desired(generation=0))
    port: int = field(default_factory=free_port)

    @property
    def public(self) -> Address:
        return Address(host="127.0.0.1", port=self.port)

    def address(self, tier: int, port: int = 8000) -> Address:
        return Address(host=f"127.{self.state.identity.network}.{tier}.1", port=port)

    def web(self, version: str = "1", *, start_s: float = 0.0, within_s: float = 15.0) -> Unit:
        """A web unit with a public socket that hands over."""
        private = self.address(1)
        return Unit(
            name="web",
            tier="web",
            command=(sys.executable, str(self.program()), version, "--start-s", str(start_s)),
            address=private,
            public=(self.public,),
            probe=Probe(
                address=private,
                send=READY,
                expect=b"HTTP/1.1 200",
                interval_s=0.2,
                within_s=within_s,
            ),
            stop=(StopStep(signal="SIGTERM", wait_s=20.0),),
            handover=True,
            release=f"r{version}",
        )

    def program(self) -> Path:
        """The program, where the user of the units can read it."""
        target = self.state.path.parent / PROGRAM.name
        if not target.exists():
            target.write_bytes(PROGRAM.read_bytes())
            target.chmod(0o644)
        return target

    def run(
        self,
        *units: Unit,
        consent: tuple[str, ...] = (),
        secrets: tuple[str, ...] = (),
        certificates: tuple[Certificate, ...] = (),
    ) -> int:
        """Ask for these units; returns the pid of the supervisor."""
        self.wanted = Desired(
            generation=self.wanted.generation + 1,
            units=units,
            consent=consent,
            secrets=secrets,
            certificates=certificates,
        )
        desired.write(self.state.desired, self.wanted)
        pid = supervisor.ensure(self.state)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
        return pid

    def status(self) -> Status | None:
        """The status of what was asked for last; None while an older one is told."""
        found = status.read(self.state.status)
        return found if found and found.generation == self.wanted.generation else None

    def told(self, name: str) -> UnitStatus | None:
        found = self.status()
        return next((each for each in found.units if each.name == name), None) if found else None

    async def settled(self, within_s: float = SOON_S) -> Status:
        async def check() -> Status | None:
            found = self.status()
            return found if found and found.settled else None

        return await eventually(check, within_s=within_s)

    async def failed(self, name: str, within_s: float = SOON_S) -> UnitStatus:
        async def check() -> UnitStatus | None:
            found = self.status()
            return self.told(name) if found and name in found.failed else None

        return await eventually(check, within_s=within_s)

    async def up(self, *units: Unit) -> Status:
        self.run(*units)
        return await self.settled()

    def pid(self, name: str) -> int:
        """The pid of what is told about; 0 while nothing of the unit runs."""
        found = self.told(name)
        assert found is not None
        return found.pid or 0

    def supervisor(self) -> int:
        pid = supervisor.running(self.state)
        assert pid is not None
        return pid

    async def kill_supervisor(self) -> None:
        identity = processes.identify(self.supervisor())
        assert identity is not None
        os.kill(identity.pid, signal.SIGKILL)
        await eventually(lambda: not processes.alive(identity), within_s=SOON_S)

    def events(self, unit: str) -> list[str]:
        return [each.event for each in logs.records(self.state, unit)]

    async def heard(self, unit: str, word: str) -> str:
        """The first line of the unit's log that begins so; waits for it.

        A unit without a probe is ready before its program has come far, and its log is later still.
        """
        found = await eventually(
            lambda: [each for each in self.events(unit) if each.startswith(word)],
            within_s=SOON_S,
            saying=f"{unit} says {word}",
        )
        return found[0]


def script(name: str, code: str, **more: object) -> Unit:
    """A unit that is a few lines of Python."""
    return Unit(name=name, tier="script", command=(sys.executable, "-c", code), **more)  # type: ignore[arg-type]


def shell(name: str, text: str, key: str = "1", timeout_s: float = 20.0) -> Preparation:
    return Preparation(name=name, command=("/bin/sh", "-c", text), key=key, timeout_s=timeout_s)


SLEEPER = "import time\nprint('here', flush=True)\ntime.sleep(600)"


async def more(load: Load, answers: int) -> None:
    """Wait until so many more requests were answered well."""
    before = load.tally.good
    await eventually(lambda: load.tally.good > before + answers, within_s=SOON_S)
