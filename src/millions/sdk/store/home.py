"""Home: where the store is for this process, tables or servers, and the change between them.

A change begins at one moment (`changes`): whoever still works with the former home is refused
there, with nothing done, looks where the store is now, and does it there. So there is no moment at
which two processes write to different places. What is in the former home follows (`Moving`,
`Returning`), and a change begins only when the one before has come to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from millions.directory import StorePlace
from millions.errors import MillionsError, UnavailableError
from millions.sdk.log import log
from millions.sdk.retry import DRIVER_ERRORS
from millions.sdk.store import changes
from millions.sdk.store.changes import Change, ElsewhereError
from millions.sdk.store.documents import Form
from millions.sdk.store.moving import Moving
from millions.sdk.store.returning import Returning
from millions.sdk.store.rows import PoolSource, Rows
from millions.sdk.store.sorted_rows import RowLists
from millions.sdk.store.sweeping import Sweeping
from millions.sdk.store.tables import RowDocuments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from millions.directory import Endpoint
    from millions.sdk.store.servers.reaching import Reaching

Answer = TypeVar("Answer")

OPEN_WITHIN_S = 5.0
"""Opening waits this long for servers that begin beside this process, and goes on without them."""

CHANGE_WITHIN_S = 10.0
"""What was refused by the former home waits this long for the next one."""

LOOK_S = 0.1
AGAIN_S = 1.0
"""After a failure: a long transaction that uses the tables must not hold up everybody else."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stand:
    """What this process knows of the store's home: the latest change, and who completes it."""

    change: Change
    form: Form
    follower: Moving | Returning | None


class Home:
    """Does what is to be done in the form that the store has now."""

    def __init__(self, database: PoolSource) -> None:
        self._database = database
        rows = Rows(database)
        self._tables = Form(documents=RowDocuments(rows), lists=RowLists(rows))
        self._stand: Stand | None = None
        self._follower: Moving | Returning | None = None
        self._refused_number: int | None = None
        self._wants_servers = False
        self._may_begin = False
        self._lets_go = False
        self._reaching: Reaching | None = None
        self._stood = asyncio.Event()
        self._arrived = asyncio.Event()
        self._look = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self.sweeping = Sweeping(database)

    @property
    def reaches_nobody(self) -> bool:
        """Whether it holds no connection to servers of the store."""
        return self._reaching is None

    async def open(self, place: StorePlace) -> None:
        """Begin where the store is; with servers in `place`, wait a while until that is there.

        May be opened again on another event loop, as the nouns of a process are in tests.
        """
        self._stand = None
        self._stood, self._arrived, self._look = asyncio.Event(), asyncio.Event(), asyncio.Event()
        await self._aim(place)
        self._looking = asyncio.create_task(self._look_and_go(), name="store change")
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                await (self._arrived if place.servers else self._stood).wait()
        except TimeoutError:
            log.warning("store not open yet", because="its home was not found, or does not answer")

    async def close(self) -> None:
        """Stop everything in the background."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await self.sweeping.stop()
        self._stand = None
        if self._follower is not None:
            await self._follower.stop()
        reaching, self._reaching = self._reaching, None
        if reaching is not None:
            await reaching.close()

    async def follow(self, place: StorePlace) -> None:
        """Change over, in the background, to the servers of `place`, or back from its former ones.

        Without any nothing changes, but that those are let go which have nothing any more.
        """
        servers = place.servers or place.former
        if not servers and self._reaching is not None:
            self._lets_go = True
            self._look.set()
        is_same = self._reaching is not None and servers == self._reaching.place.servers
        if not servers or (is_same and bool(place.servers) == self._wants_servers):
            return
        await self._aim(place)
        self._look.set()

    async def do(self, keys: Sequence[str], deed: Callable[[Form], Awaitable[Answer]]) -> Answer:
        """Do it where the store is."""
        loop = asyncio.get_running_loop()
        ends_at_s = 0.0
        while True:
            stand = self._stand
            try:
                if stand is None:
                    raise ElsewhereError  # as one that was refused
                if stand.follower is not None:
                    await stand.follower.settle(keys)
                return await deed(stand.form)
            except (asyncpg.UndefinedTableError, ElsewhereError) as error:
                ends_at_s = ends_at_s or loop.time() + CHANGE_WITHIN_S
                self._leave(stand)
                await self._wait_stood(ends_at_s, error)

    def _leave(self, stand: Stand | None) -> None:
        """Believe no more that the store is there: it refused."""
        if stand is not None and self._stand is stand:
            self._refused_number = stand.change.number
            self._stand = None
            self._stood.clear()
        self._look.set()

    async def _wait_stood(self, ends_at_s: float, error: Exception) -> None:
        try:
            async with asyncio.timeout_at(ends_at_s if self._looking else 0.0):
                await self._stood.wait()
        except TimeoutError:
            raise UnavailableError(
                cannot="use the store",
                because="its data is, or was, in servers of its own, and they were not found",
                try_="millions status; without [store] servers = 3 nobody knows where they are",
            ) from error

    async def _aim(self, place: StorePlace) -> None:
        """Know which home is wanted, and reach the servers of `place`."""
        servers = place.servers or place.former
        self._wants_servers, self._may_begin = bool(place.servers), bool(servers)
        self._lets_go = False
        self._arrived.clear()
        former = self._reaching
        if not servers or (former is not None and former.place.servers == servers):
            return
        self._reaching = _reaching(place, servers)
        self._reaching.open()
        if former is not None:
            self._stand = None
            self._stood.clear()
            await former.close()

    async def _look_and_go(self) -> None:
        """Look where the store is, begin a change that is wanted, and look again when refused."""
        while True:
            self._look.clear()
            try:
                await self._step()
            except ElsewhereError:
                await asyncio.sleep(LOOK_S)
                continue
            except (*DRIVER_ERRORS, MillionsError) as error:
                log.warning("store not changed over yet", because=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    LOOK_S if self._may_begin or self._can_let_go() else None
                ):
                    await self._look.wait()

    async def _step(self) -> None:
        found = await changes.latest(self._database.pool())
        reaching = self._reaching
        if reaching is not None and await self._changed(found, reaching):
            found = await changes.latest(self._database.pool())
        await self._take(found)
        if self._can_let_go() and found.is_over:
            self._reaching = None
            if reaching is not None:
                await reaching.close()

    async def _changed(self, found: Change, reaching: Reaching) -> bool:
        """Do what lets the latest change be another one; whether something was tried."""
        asking = reaching.asking(found.number)
        if self._refused_number == found.number:
            await changes.repair(self._database, asking, found)
            return True
        if not self._may_begin or not found.is_over or self._is_there(found):
            return False
        if not await reaching.leads_somebody():
            return False
        await changes.begin(self._database, asking, to_servers=self._wants_servers)
        return True

    async def _take(self, found: Change) -> None:
        """Stand where the store is, if it can be reached."""
        if self._stand is None or self._stand.change.number != found.number:
            form, follower = self._form_of(found), self._follower_of(found)
            if form is None:
                return
            former, self._follower = self._follower, follower
            self._stand = Stand(change=found, form=form, follower=follower)
            self._refused_number = None
            self._stood.set()
            if former is not None:
                await former.stop()
            if follower is not None:
                follower.start()
            await self._sweep_or_not(found)
        if self._is_there(found):
            self._may_begin = False
            self._arrived.set()

    def _is_there(self, found: Change) -> bool:
        """Whether the store is where it is wanted. With former servers only a change tells so."""
        if found.to_servers != self._wants_servers:
            return False
        return found.to_servers or found.number > 0 or self._reaching is None

    def _can_let_go(self) -> bool:
        """Whether servers are held which are not to be reached for any more."""
        is_home = self._stand is not None and self._stand.change.to_servers
        return self._lets_go and self._reaching is not None and not is_home

    def _form_of(self, found: Change) -> Form | None:
        if not found.to_servers:
            return self._tables if found.is_over or self._reaching is not None else None
        return None if self._reaching is None else self._reaching.form(found.number)

    def _follower_of(self, found: Change) -> Moving | Returning | None:
        if self._reaching is None or found.is_over:
            return None
        if found.to_servers:
            return Moving(self._database, self._reaching.asking(found.number))
        return Returning(self._database, self._reaching.leaving(found.number), found)

    async def _sweep_or_not(self, found: Change) -> None:
        if found.to_servers:
            await self.sweeping.stop()
        else:
            self.sweeping.start()


def _reaching(place: StorePlace, servers: tuple[Endpoint, ...]) -> Reaching:
    """What reaches `servers`. Raise UnavailableError when its library is missing."""
    try:
        from millions.sdk.store.servers.reaching import Reaching  # noqa: PLC0415  # needs hiredis
    except ModuleNotFoundError as error:
        raise UnavailableError(
            cannot="use the servers of the store",
            because=str(error),
            try_="pip install 'millions[cached]', and name it in your requirements",
        ) from error
    return Reaching(StorePlace(servers=servers, password_file=place.password_file))
