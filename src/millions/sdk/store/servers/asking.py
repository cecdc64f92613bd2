"""Asking: reads and writes that wait through a change of leader, within a bound.

A write that nobody acknowledged is looked for in the history of the new leader, which knows where
each term ended: it is repeated when it is certain that it is gone, and given as done when it is
there. What no answer came for is repeated only where that does no harm. Servers that know of a
later change of the store's home refuse everything: whoever asked looks where the store is now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.errors import CommitUnknownError, SdkError, UnavailableError
from millions.sdk.retry import Patience
from millions.sdk.store.changes import ElsewhereError
from millions.sdk.store.servers import leaving_scripts, scripts
from millions.sdk.store.servers.commits import Done, UnkeptError, UnknownError, UnsentError
from millions.sdk.valkey import AwayError, RefusedError

if TYPE_CHECKING:
    from millions.sdk.store.servers.route import Lead, Route
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
    """Asks whoever leads, as one who knows of the change `number`, and of no later one."""

    def __init__(self, route: Route, number: int) -> None:
        self._route = route
        self.number = number

    async def turn(self, number: int, floor: int) -> int | None:
        """Let the servers take part in change `number` only; answer a version above all given.

        Versions are above `floor` * 10**12 from then on. None: they know of a later change.
        """
        found = await self.write(leaving_scripts.TURN, str(number), str(floor), harmless=True)
        return int(found) if found else None

    async def number_there(self) -> int:
        """The number of the latest change that the servers know of."""
        return int((await self._fetched([]))[0] or 0)

    async def values(self, names: list[str]) -> list[bytes | None]:
        """What is under `names`, all as of one moment. Raise ElsewhereError."""
        number, *found = await self._fetched(names)
        if int(number or 0) != self.number:
            raise ElsewhereError
        return found

    async def _fetched(self, names: list[str]) -> list[bytes | None]:
        """The number of the latest change, and what is under `names`."""
        patience = Patience(doing="read the store", limit_s=HOLD_S)
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                lease, *found = await lead.reads.send("MGET", scripts.LEASE, scripts.CHANGE, *names)
            except AwayError as error:
                await self._lost(lead, error, patience)
                continue
            if lease == lead.lease:
                return list(found)
            await self._lost(lead, AwayError("its lease is over"), patience)

    async def read(self, script: Script, *arguments: Part) -> Any:
        """What a script that only reads answers. Raise ElsewhereError."""
        patience = Patience(doing="read the store", limit_s=HOLD_S)
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                return await lead.reads.run(script, [], self._belief(lead), *arguments)
            except AwayError as error:
                await self._lost(lead, error, patience)

    async def write(self, script: Script, *arguments: Part, harmless: bool) -> Any:
        """What a script that writes answers, once enough disks have what it wrote.

        Raise CommitUnknownError when nobody can know whether it was done, and it is not `harmless`
        to do it again; SdkError when the server refuses it; ElsewhereError.
        """
        patience = Patience(doing="write to the store", limit_s=HOLD_S)
        while True:
            lead = self._route.lead or await self._route.find(patience)
            try:
                return (await lead.commits.write(script, self._belief(lead), *arguments)).result
            except UnkeptError as error:
                try:
                    await self._lost(lead, error, patience)
                    if await self._is_kept(error.done, patience):
                        return error.done.result
                except UnavailableError as late:
                    if harmless or not error.done.sequence:
                        raise
                    raise _unknown(error) from late  # it may be kept once more disks are back
            except (UnsentError, RefusedError) as error:
                await self._lost(lead, error, patience)
            except UnknownError as error:
                if not harmless:
                    self._route.forget(lead)
                    raise _unknown(error) from error
                await self._lost(lead, error, patience)

    def _belief(self, lead: Lead) -> bytes:
        return b"%b %d" % (lead.lease, self.number)

    async def _lost(self, lead: Lead, error: Exception, patience: Patience) -> None:
        """Look for another leader, in a moment. Raise SdkError when that would be of no use."""
        if isinstance(error, RefusedError) and str(error).startswith(scripts.CHANGED):
            raise ElsewhereError from error
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
                    await lead.commits.write(scripts.BARRIER, self._belief(lead))
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
