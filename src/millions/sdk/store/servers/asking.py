"""Asking: reads and writes that wait through a change of leader, within a bound.

A write that nobody acknowledged is looked for in the history of the new leader, which knows where
each term ended: it is repeated when it is certain that it is gone, and given as done when it is
there. What no answer came for is repeated only where that does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.errors import CommitUnknownError, SdkError, UnavailableError
from millions.sdk.retry import Patience
from millions.sdk.store.servers import scripts
from millions.sdk.store.servers.commits import Done, UnkeptError, UnknownError, UnsentError
from millions.sdk.store.servers.route import Lead, Route
from millions.sdk.valkey import AwayError, RefusedError

if TYPE_CHECKING:
    from millions.directory import StorePlace
    from millions.sdk.valkey import Script
    from millions.sdk.valkey.wire import Part

HOLD_S = 10.0
"""A call waits this long for a leader: another one leads after two seconds, if there can be one."""

ELSEWHERE = (
    "NOTLEADER",
    "READONLY",
    "MASTERDOWN",
    "LOADING",
    "NOSCRIPT",
    "UNBLOCKED",
    "NOREPLICAS",
)
"""How the errors begin of a server that does not lead; it did nothing."""


class Asking:
    """Asks whoever leads."""

    def __init__(self, place: StorePlace) -> None:
        self._route = Route(place)

    @property
    def place(self) -> StorePlace:
        """Where the servers are."""
        return self._route.place

    def open(self) -> None:
        """Begin to connect."""
        self._route.open()

    async def close(self) -> None:
        """End every connection."""
        await self._route.close()

    async def leads_somebody(self) -> bool:
        """Whether a server leads now."""
        if self._route.lead is None:
            self._route.lead = await self._route.seek()
        return self._route.lead is not None

    async def values(self, names: list[str]) -> list[bytes | None]:
        """What is under `names`, all as of one moment."""
        patience = Patience(doing="read the store", limit_s=HOLD_S)
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                lease, *found = await lead.reads.send("MGET", scripts.LEASE, *names)
            except AwayError as error:
                await self._lost(lead, error, patience)
                continue
            if lease == lead.lease:
                return list(found)
            await self._lost(lead, AwayError("its lease is over"), patience)

    async def read(self, script: Script, *arguments: Part) -> Any:
        """What a script that only reads answers."""
        patience = Patience(doing="read the store", limit_s=HOLD_S)
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                return await lead.reads.run(script, [], lead.lease, *arguments)
            except AwayError as error:
                await self._lost(lead, error, patience)

    async def write(self, script: Script, *arguments: Part, harmless: bool) -> Any:
        """What a script that writes answers, once enough disks have what it wrote.

        Raise CommitUnknownError when nobody can know whether it was done, and it is not `harmless`
        to do it again; SdkError when the server refuses it.
        """
        patience = Patience(doing="write to the store", limit_s=HOLD_S)
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                return (await lead.commits.write(script, lead.lease, *arguments)).result
            except UnkeptError as error:
                await self._lost(lead, error, patience)
                if await self._is_kept(error.done, patience):
                    return error.done.result
            except (UnsentError, RefusedError) as error:
                await self._lost(lead, error, patience)
            except UnknownError as error:
                if not harmless:
                    self._route.forget(lead)
                    raise _unknown(error) from error
                await self._lost(lead, error, patience)

    async def _lost(self, lead: Lead, error: Exception, patience: Patience) -> None:
        """Look for another leader, in a moment. Raise SdkError when that would be of no use."""
        if isinstance(error, RefusedError) and not str(error).startswith(ELSEWHERE):
            raise _refused(str(error)) from error
        self._route.forget(lead)
        await patience.pause(error)

    async def _is_kept(self, done: Done, patience: Patience) -> bool:
        """Whether what an earlier leader had written is there for good."""
        if not done.sequence:
            return False
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                if lead.term == done.term:
                    await lead.commits.write(scripts.BARRIER, lead.lease)
                    return True
                found = await lead.reads.send("HGETALL", scripts.TERMS)
            except (AwayError, UnsentError, UnknownError, UnkeptError) as error:
                self._route.forget(lead)
                await patience.pause(error)
                continue
            return kept({int(term): int(last) for term, last in found.items()}, done)


def kept(terms: dict[int, int], done: Done) -> bool:
    """Whether the history with these `terms`, each with the last place before it, has a write."""
    later = [term for term in terms if term > done.term]
    return done.term in terms and (not later or done.sequence <= terms[min(later)])


def _unknown(error: Exception) -> CommitUnknownError:
    return CommitUnknownError(
        cannot="say whether the store was changed",
        because=f"the connection broke before it answered: {error}",
        try_="read it, then decide",
    )


def _refused(said: str) -> SdkError:
    if said.startswith("OOM"):
        return UnavailableError(
            cannot="write to the store",
            because="its memory is full; nothing was changed",
            try_="[store] memory_mib, or a ttl_s for what may go",
        )
    if "overflow" in said:
        return SdkError(cannot="count that far", because=said, try_="a smaller step")
    return UnavailableError(cannot="use the store", because=said, try_="millions status")
