"""What every workload is made of: users who act until they are told to stop, and a last look.

A workload is chosen by name; each is one module beside this one.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from millions.drill.workloads.user import Clock, Count, User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.drill.history import Writer
    from millions.model import Address

SEED = 1


@dataclass(slots=True, kw_only=True)
class Site:
    """Where users go, how many there are, and where everything is recorded.

    `rate_per_s` bounds all users together; 0 lets each ask again as soon as it was answered.
    """

    address: Address
    writer: Writer
    clients: int = 16
    rate_per_s: float = 0.0
    clock: Clock = field(default_factory=Clock)
    count: Count = field(default_factory=Count)
    random: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311
    stopping: bool = False

    def user(self, name: str) -> User:
        """Make a user."""
        return User(name, self.address, writer=self.writer, clock=self.clock, count=self.count)

    async def act(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do `act` again and again, at the pace of one client, until all are to stop."""
        pause_s = self.clients / self.rate_per_s if self.rate_per_s else 0.0
        while not self.stopping:
            began = self.clock.now()
            await act()
            wait_s = began + pause_s - self.clock.now()
            if wait_s > 0:
                await asyncio.sleep(wait_s)


class Workload(Protocol):
    """What users do. `prepare` once, `run` until the site is stopping, `finish` once all is well.

    `finish` takes the last look: what was acknowledged must be there.
    """

    async def prepare(self) -> None:
        """Make what the users need."""

    async def run(self) -> None:
        """Let users act until the site is stopping."""

    async def finish(self) -> None:
        """Take the last look."""


def zipf(count: int, skew: float = 0.9) -> list[float]:
    """Weights of the first, second, … of `count` by Zipf's law."""
    return [1 / rank**skew for rank in range(1, count + 1)]
