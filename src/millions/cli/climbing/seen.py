"""What is seen of a climb at one moment, for whoever shows it. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from millions.drill.climbs.marks import reached

if TYPE_CHECKING:
    from millions.climb.record import Event
    from millions.runtime.status import Status

RATES_KEPT = 40
"""Looks of which the rate is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the clients do: a workload of drills, how many they are, at which rate (0: no bound)."""

    workload: str
    clients: int = 16
    rate_per_s: float = 300.0
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the clients, or the web servers, last said: counts since the begin, and the last while.

    Seconds. `pause_s` is None where nobody knows it: only clients do.
    """

    good: int = 0
    failed: int = 0
    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    pause_s: float | None = 0.0


@dataclass(slots=True, kw_only=True)
class Seen:
    """Grows while a climb goes on. `rung` is the one at the begin; times are unix seconds."""

    name: str
    rung: int
    began_at_s: float
    now_s: float = 0.0
    events: list[Event] = field(default_factory=list["Event"])
    status: Status | None = None
    told: Told = field(default_factory=Told)
    rates: list[float] = field(default_factory=list[float])
    doing: str = "signs the users up"

    def hear(self, told: Told) -> None:
        """Take in what the clients said."""
        self.told = told
        self.rates = [*self.rates[-RATES_KEPT + 1 :], told.rate]

    @property
    def standing(self) -> int:
        """The rung on which the stack stands now."""
        found = [rung for each in self.events if (rung := reached(each))]
        return found[-1] if found else self.rung
