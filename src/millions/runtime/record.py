"""`unit.json`: what the supervisor knows of one unit, so that the next supervisor knows it too.

Written before and after each start, so that no process is ever unknown. Never holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass

from millions.model import Address, Phase, Trouble, Unit
from millions.runtime import codec
from millions.runtime.processes import Identity  # noqa: TC001  # codec reads the hints

FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "millions down, which finds the processes without it; then millions up"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One process of a unit. `identity` is None between the decision to start it and its start.

    `address` is the private address that it was given, `handover` the path at which it serves its
    listening socket. `ready_at_s` is 0 until it was ready. `stop_step` counts the steps of a stop
    that were sent, `stop_at_s` when the last one was; `blame` says why it is stopped if it failed.
    `spec` is what the process knows, `told` what it is being told: other files, other servers.
    `spares` says that its daemon goes on when it is stopped.
    """

    number: int
    spec: Unit
    since_s: float
    changed_s: float
    identity: Identity | None = None
    phase: Phase = Phase.STARTING
    address: Address | None = None
    handover: str = ""
    ready_at_s: float = 0.0
    stop_step: int = 0
    stop_at_s: float = 0.0
    blame: str = ""
    told: Unit | None = None
    spares: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationRecord:
    """A preparation that runs: its log and its process carry `number`, as a start would."""

    number: int
    spec: Unit
    key: str
    since_s: float
    identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRecord:
    """One unit. `starts` numbers them, `restarts` counts those that nobody had planned.

    `troubles` belong to `generation` of the desired document; a new one forgets them.
    """

    name: str
    generation: int = 0
    starts: int = 0
    restarts: int = 0
    processes: tuple[ProcessRecord, ...] = ()
    preparing: PreparationRecord | None = None
    good: Unit | None = None
    troubles: tuple[Trouble, ...] = ()
    format: int = FORMAT

    def text(self) -> str:
        """The record as JSON."""
        return codec.text(self)

    def process(self, number: int) -> ProcessRecord | None:
        """The process with this number; None when it is gone."""
        for each in self.processes:
            if each.number == number:
                return each
        return None


def parse(text: str, *, source: str) -> UnitRecord:
    """Read a record. Raise StateError when it is not whole or of another format."""
    return codec.parse(UnitRecord, text, where=source, try_=TRY)
