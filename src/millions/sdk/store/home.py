"""Home: where the store is for this process, tables or servers, and the change between them.

The change is one transaction that renames the tables: whoever still works with them is refused by
PostgreSQL, with nothing done, waits until it has the servers too, and does it there. So there is no
moment at which two processes write to different places. The rows follow afterwards (`Moving`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from millions.errors import MillionsError, UnavailableError
from millions.sdk.log import log
from millions.sdk.retry import DRIVER_ERRORS
from millions.sdk.store.documents import Form
from millions.sdk.store.moving import Moving
from millions.sdk.store.rows import PoolSource, Rows
from millions.sdk.store.sorted_rows import RowLists
from millions.sdk.store.sweeping import Sweeping
from millions.sdk.store.tables import RowDocuments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from millions.directory import StorePlace
    from millions.sdk.store.servers.asking import Asking

Answer = TypeVar("Answer")

OPEN_WITHIN_S = 5.0
"""Opening waits this long for servers that begin beside this process, and goes on without them."""

CHANGE_WITHIN_S = 10.0
"""What met tables that were renamed waits this long for the servers."""

LOOK_S = 0.1
AGAIN_S = 1.0
"""After a failure: a long transaction that uses the tables must not hold up everybody else."""


class Home:
    """Does what is to be done in the form that the store has now."""

    def __init__(self, database: PoolSource) -> None:
        self._database = database
        rows = Rows(database)
        self._tables = Form(documents=RowDocuments(rows), lists=RowLists(rows))
        self._form = self._tables
        self._asking: Asking | None = None
        self._moving: Moving | None = None
        self._changed = asyncio.Event()
        self._changing: asyncio.Task[None] | None = None
        self.sweeping = Sweeping(database)

    async def open(self, place: StorePlace) -> None:
        """Begin with the tables, or with the servers of `place`."""
        self._form = self._tables
        self._changed.clear()
        if not place.servers:
            self.sweeping.start()
            return
        await self.follow(place)
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                await self._changed.wait()
        except TimeoutError:
            log.warning("store not open yet", because="none of its servers leads")

    async def close(self) -> None:
        """Stop everything in the background."""
        changing, self._changing = self._changing, None
        if changing is not None:
            changing.cancel()
            await asyncio.gather(changing, return_exceptions=True)
        await self.sweeping.stop()
        if self._moving is not None:
            await self._moving.stop()
        asking, self._asking, self._moving = self._asking, None, None
        if asking is not None:
            await asking.close()

    async def follow(self, place: StorePlace) -> None:
        """Change over to the servers of `place` in the background; without any, stay."""
        if not place.servers or (self._asking is not None and place == self._asking.place):
            return
        if self._asking is not None:
            await self.close()
            self._changed.clear()
        self._asking = _asking(place)
        self._asking.open()
        self._changing = asyncio.create_task(self._change(self._asking), name="store change")

    async def do(self, keys: Sequence[str], deed: Callable[[Form], Awaitable[Answer]]) -> Answer:
        """Do it where the store is."""
        if self._form is self._tables:
            try:
                return await deed(self._form)
            except asyncpg.UndefinedTableError as error:
                await self._wait_changed(error)
        moving = self._moving
        if moving is not None:
            await moving.settle(keys)
        return await deed(self._form)

    async def _wait_changed(self, error: Exception) -> None:
        try:
            async with asyncio.timeout(CHANGE_WITHIN_S):
                await self._changed.wait()
        except TimeoutError:
            raise UnavailableError(
                cannot="use the store",
                because="its data is in servers of its own, and none of them was found to lead",
                try_="millions status; without [store] servers = 3 nobody knows where they are",
            ) from error

    async def _change(self, asking: Asking) -> None:
        """Use the servers as soon as one leads and the tables are put aside."""
        from millions.sdk.store.servers.form import form  # noqa: PLC0415  # needs hiredis

        moving = Moving(self._database, asking)
        while True:
            try:
                if await asking.leads_somebody():
                    await moving.begin()
                    break
            except (*DRIVER_ERRORS, MillionsError) as error:
                log.warning("store not changed over yet", because=str(error))
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(LOOK_S)
        self._moving = moving
        self._form = form(asking)
        moving.start()
        self._changed.set()
        await self.sweeping.stop()


def _asking(place: StorePlace) -> Asking:
    """What asks the servers of `place`. Raise UnavailableError when its library is missing."""
    try:
        from millions.sdk.store.servers.asking import Asking  # noqa: PLC0415  # needs hiredis
    except ModuleNotFoundError as error:
        raise UnavailableError(
            cannot="use the servers of the store",
            because=str(error),
            try_="pip install 'millions[cached]', and name it in your requirements",
        ) from error
    return Asking(place)
