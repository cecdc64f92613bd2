"""Route: which of the servers leads, found by asking them, and the connections to it.

A server leads while it holds a lease that carries its own name. Whoever reads compares the lease in
the same step, so a former leader is never believed. Nothing is asked while a leader answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millions.sdk.store.servers import leaving_scripts, scripts
from millions.sdk.store.servers.commits import Commits
from millions.sdk.valkey import AwayError, Greeting, Link, Wire

if TYPE_CHECKING:
    from millions.directory import StorePlace
    from millions.sdk.retry import Patience

READ_WITHIN_S = 0.75
"""A leader answers in less than 1 ms; what takes once to twice this is frozen or cut off."""

WRITE_WITHIN_S = 0.8
"""More than the leader itself waits for the disks of the others."""


SEEK_WITHIN_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lead:
    """One server for as long as it leads: `lease` is what it must hold."""

    reads: Wire
    commits: Commits
    lease: bytes
    term: int


class Route:
    """Finds the leader among the servers of a place."""

    def __init__(self, place: StorePlace) -> None:
        self.place = place
        self.lead: Lead | None = None
        self._others = len(place.servers) // 2
        greeting = Greeting(
            password_file=place.password_file, scripts=scripts.ALL + leaving_scripts.ALL
        )
        self._links = [
            (
                Link(each, greeting, ready=_ready, deadline_s=READ_WITHIN_S),
                Link(each, greeting, ready=_ready, deadline_s=WRITE_WITHIN_S),
            )
            for each in place.servers
        ]
        self._seeking = asyncio.Lock()

    def open(self) -> None:
        """Begin to connect."""
        for pair in self._links:
            for link in pair:
                link.open()

    async def close(self) -> None:
        """End every connection."""
        lead, self.lead = self.lead, None
        if lead is not None:
            lead.commits.close()
        await asyncio.gather(*(link.close() for pair in self._links for link in pair))

    def forget(self, lead: Lead) -> None:
        """Stop believing in a leader that did not answer as one."""
        if self.lead is lead:
            self.lead = None

    async def find(self, patience: Patience) -> Lead:
        """The leader. Raise UnavailableError when there is none for too long."""
        async with self._seeking:
            while self.lead is None:
                self.lead = await self.seek()
                if self.lead is None:
                    await patience.pause(AwayError(self._trouble()))
            return self.lead

    async def seek(self) -> Lead | None:
        """Ask every server once whether it leads; who is frozen is not waited for long.

        There is never more than one whose lease is not over.
        """
        asked = [asyncio.create_task(self._asked(*pair)) for pair in self._links]
        try:
            for each in asyncio.as_completed(asked, timeout=SEEK_WITHIN_S):
                found = await each
                if found is not None:
                    return found
        except TimeoutError:
            return None
        finally:
            for task in asked:
                task.cancel()
        return None

    async def _asked(self, reading: Link, writing: Link) -> Lead | None:
        reads, writes = reading.wire, writing.wire
        if reads is None or writes is None:
            return None
        try:
            role, lease = await asyncio.gather(reads.send("ROLE"), reads.send("GET", scripts.LEASE))
        except AwayError:
            return None
        if role[0] != b"master" or lease is None:
            return None
        term, _, name = bytes(lease).partition(b"@")
        if name.decode() != reading.name:
            return None
        return Lead(
            reads=reads, commits=Commits(writes, others=self._others), lease=lease, term=int(term)
        )

    def _trouble(self) -> str:
        said = [f"{link.name}: {link.trouble or 'does not lead'}" for link, _ in self._links]
        return "no server of the store leads: " + "; ".join(said)


async def _ready(_wire: Wire) -> bool:
    return True


def text(value: Any) -> str:
    """What a server answered, as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
