"""What passes between a worker's connection and what runs its tasks. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from millions.sdk.tasks.outcome import Kept


@dataclass(frozen=True, slots=True)
class Claim:
    """One row that this process holds. Fields in the order of `statements.EXCHANGE`."""

    id: int
    priority: int
    attempt: int
    queue: str
    name: str
    arguments: str
    key: str | None
    request_id: str | None
    due_at: datetime
    enqueued_at: datetime
    unknown_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A task that is let go of without being done.

    `delay_s` None: ready at once. `uncounted`: this attempt does not count. `unknown`: no function
    of this name is known here.
    """

    id: int
    queue: str
    delay_s: float | None = None
    uncounted: bool = False
    error: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Burial:
    """A task that becomes a dead letter."""

    id: int
    error: str


class Outcomes:
    """What became of tasks since the database was last told."""

    __slots__ = ("buried", "done", "kept", "settled")

    def __init__(self) -> None:
        self.done: list[int] = []
        self.settled: list[Settlement] = []
        self.buried: list[Burial] = []
        self.kept: dict[int, Kept] = {}

    def __bool__(self) -> bool:
        return bool(self.done or self.settled or self.buried or self.kept)

    def ids(self) -> list[int]:
        """Every task named here."""
        return [*self.done, *(s.id for s in self.settled), *(b.id for b in self.buried)]

    def put_back(self, earlier: Outcomes) -> None:
        """Say `earlier` again: whether the database heard it is not known."""
        self.done[:0] = earlier.done
        self.settled[:0] = earlier.settled
        self.buried[:0] = earlier.buried
        self.kept = earlier.kept | self.kept
