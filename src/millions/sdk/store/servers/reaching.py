"""Reaching: the connections to the servers of a place, and what is asked over them by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.sdk.store.servers.asking import Asking
from millions.sdk.store.servers.form import form
from millions.sdk.store.servers.leaving import Leaving
from millions.sdk.store.servers.route import Route

if TYPE_CHECKING:
    from millions.directory import StorePlace
    from millions.sdk.store.documents import Form


class Reaching:
    """Reaches the servers of `place` for as long as it is open."""

    def __init__(self, place: StorePlace) -> None:
        self.place = place
        self._route = Route(place)

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

    def asking(self, number: int) -> Asking:
        """What asks as one who knows of change `number`, and no later."""
        return Asking(self._route, number)

    def form(self, number: int) -> Form:
        """The form that is these servers, from change `number` on."""
        return form(self.asking(number))

    def leaving(self, number: int) -> Leaving:
        """What takes away what they have since change `number`."""
        return Leaving(self.asking(number))
