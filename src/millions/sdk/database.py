"""`db`: transactions by shard key, on SQLAlchemy 2 async.

It opens, routes and closes. What a block does is in `block.py`, what asyncpg does in `driver.py`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from millions.errors import DirectoryError, SdkError, UnavailableError
from millions.sdk import scatter, sharding_check
from millions.sdk.block import Block
from millions.sdk.driver import CHECKOUT_LIMIT_S
from millions.sdk.retry import DEMOTED, HOLD_S, Fate, Patience, fate, sqlstate
from millions.sdk.shard import Bounds, OpenShard
from millions.sdk.sharding import REFERENCE, AnyKey, Key, checked_key
from millions.sdk.topology import SETTLE_S
from millions.sdk.transaction import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import asyncpg
    from sqlalchemy import MetaData, Result, Row, Select
    from sqlalchemy.engine import FrozenResult

    from millions.directory import Directory
    from millions.sdk.route import Route
    from millions.sdk.scatter import Order
    from millions.sdk.session import CommitWatcher, Session

__all__ = ["REFERENCE", "Database", "Isolation", "Key"]

T = TypeVar("T")

Isolation: TypeAlias = Literal["read committed", "repeatable read", "serializable"]

ISOLATIONS: tuple[str, ...] = get_args(Isolation)

RAW_HELD_S = 1.0
"""A raw statement waits so long, and no longer: whoever moves the server waits three times that for
the blocks that are open, and it may be part of one."""

ATTEMPTS = 5
"""How often `run` tries: four collisions in a row mean that the data, not luck, is the matter."""


class Database:
    """The noun `db`. Made without I/O; usable between `open` and `close`, on one event loop.

    `hold_s` bounds how long a block that has not begun waits for a server that is away,
    `checkout_s` how long it waits for a connection that other blocks hold; `settle_s` is how long
    replicas are watched before anybody reads from them.
    """

    def __init__(
        self,
        *,
        hold_s: float = HOLD_S,
        checkout_s: float = CHECKOUT_LIMIT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._hold_s = hold_s
        self._bounds = Bounds(checkout_s=checkout_s, settle_s=settle_s)
        self._shards: dict[str, OpenShard] = {}
        self._home: OpenShard | None = None
        self._watchers: tuple[CommitWatcher, ...] = ()

    async def open(self, directory: Directory) -> None:
        """Connect to the shards of `directory`. Raise UnavailableError when one stays away."""
        place = directory.database
        if len(place.shards) != 1:
            raise DirectoryError(
                cannot="open the database",
                because=f"the directory has {len(place.shards)} shards; this version routes to one",
                try_="a version of millions that knows rung 11",
            )
        await self.close()
        name = f"{directory.stack} {os.getpid()}"
        for each in place.shards:
            shard = OpenShard(each, place, name=name, bounds=self._bounds)
            self._shards[each.name] = shard
            await shard.open()
        self._home = self._shards[place.shards[0].name]
        await self._first_contact()

    async def follow(self, directory: Directory) -> None:
        """Use the servers that `directory` names from now on, without an interruption."""
        for each in directory.database.shards:
            shard = self._shards.get(each.name)
            if shard is not None:
                await shard.follow(each)

    async def close(self) -> None:
        """Drop every connection; those in use after some seconds too."""
        shards, self._shards, self._home = self._shards, {}, None
        for shard in shards.values():
            await shard.close()

    def declare(self, metadata: MetaData) -> None:
        """Register the application's tables. Raise NotShardableError for what cannot be split."""
        sharding_check.check(metadata)

    def write(self, key: AnyKey, *, isolation: Isolation | None = None) -> Block:
        """Begin a transaction on the primary of `key`'s shard; the block's end commits it."""
        shard = self._shard_of(key)
        return self._block(shard, key, shard.to_write(_checked(isolation)), read_only=False)

    def read(
        self, key: AnyKey, *, isolation: Isolation | None = None, primary: bool = False
    ) -> Block:
        """Begin a transaction that can only read.

        In a request a replica answers that shows all that the request's user wrote and saw; the
        primary answers when there is none, when `primary`, outside of requests, and when the
        isolation is serializable, which replicas do not have.
        """
        shard = self._shard_of(key)
        route = shard.to_read(_checked(isolation), primary=primary)
        return self._block(shard, key, route, read_only=True)

    async def run(
        self,
        key: AnyKey,
        fn: Callable[[Session], Awaitable[T]],
        *,
        attempts: int = ATTEMPTS,
        isolation: Isolation | None = None,
    ) -> T:
        """Call `fn` in a transaction; again when a collision, restart or failover undid it.

        Never again after a commit or an unknown one (CommitUnknownError; in a request with an
        Idempotency-Key the outcome is learnt), so `fn` should have no effect outside the
        transaction. Raise the last error when `attempts` or time is used up.
        """
        patience: Patience | None = None
        for attempt in range(1, attempts + 1):
            block = self.write(key, isolation=isolation)
            try:
                async with block as session:
                    answer = await fn(session)
            except SdkError:
                raise
            except Exception as error:
                if attempt == attempts or not _repeatable(block, error):
                    raise
                if patience is None:
                    patience = Patience(doing="run the transaction", limit_s=self._hold_s)
                await patience.pause(error)
            else:
                return answer
        raise ValueError(f"attempts is {attempts}, it must be at least 1")

    async def scatter(
        self,
        statement: Select[*tuple[Any, ...]],
        *,
        order_by: Order | Sequence[Order] = (),
        limit: int | None = None,
    ) -> list[Row[Any]]:
        """Ask every shard and merge the answers, in the order of `order_by`, at most `limit` rows.

        count, sum, min and max are merged into one. Raise NotRoutableError for a statement whose
        answers cannot be merged. The shards are read one beside the other, not at one instant.
        """
        asked = scatter.question(statement, order_by=order_by, limit=limit)
        if not self._shards:
            raise _not_open()
        parts = await asyncio.gather(
            *(self._part(shard, asked.statement) for shard in self._shards.values())
        )
        return asked.answer(parts)

    def watch_commits(self, watcher: CommitWatcher) -> None:
        """Tell `watcher` of the names that transactions invalidate."""
        self._watchers = (*self._watchers, watcher)

    async def settled(self) -> None:
        """Wait a moment while the home shard's server is about to change, before a raw statement.

        Blocks wait until it has changed. This may be within one, for which that change waits.
        """
        home = self._home
        if home is not None and home.held and home.topology is not None:
            await home.topology.let_change(RAW_HELD_S)

    def pool(self, shard: str | None = None) -> asyncpg.Pool[Any]:
        """Raw connections to `shard` (the first one when None) for the SDK's own hot paths.

        Their state is not reset between users: SET LOCAL only, no LISTEN.
        """
        return self._open_shard(shard).pool

    async def listener(self, shard: str | None = None) -> asyncpg.Connection[Any]:
        """Open a connection of its own to the primary, for LISTEN; the caller closes it."""
        return await self._open_shard(shard).connect("listener")

    async def _part(
        self, shard: OpenShard, statement: Select[*tuple[Any, ...]]
    ) -> FrozenResult[Any]:
        route = shard.to_read(None, primary=False)
        async with self._block(shard, REFERENCE, route, read_only=True) as session:
            result: Result[Any] = await session.execute(statement)
            return result.freeze()

    def _shard_of(self, key: AnyKey) -> OpenShard:
        shard = self._home
        if shard is None:
            raise _not_open()
        checked_key(key)
        return shard

    def _block(self, shard: OpenShard, key: AnyKey, route: Route, *, read_only: bool) -> Block:
        return Block(
            route,
            key,
            shard=shard.name,
            read_only=read_only,
            watchers=self._watchers,
            hold_s=self._hold_s,
            again=None if read_only else lambda: self.write(key),
        )

    def _open_shard(self, name: str | None) -> OpenShard:
        found = self._home if name is None else self._shards.get(name)
        if found is None:
            raise _not_open()
        return found

    async def _first_contact(self) -> None:
        """Begin one transaction on each shard, so that a wrong place is known at the start."""
        try:
            async with self.read(REFERENCE, primary=True):
                pass
        except Exception as error:
            with suppress(Exception):
                await self.close()
            if isinstance(error, UnavailableError):
                raise
            raise UnavailableError(
                cannot="open the database",
                because=str(getattr(error, "orig", None) or error),
                try_="millions status, then millions logs --unit database",
            ) from error


def _repeatable(block: Block, error: Exception) -> bool:
    """Whether nothing was committed and another attempt may succeed."""
    if block.outcome in (Outcome.COMMITTED, Outcome.UNKNOWN):
        return False
    kind = fate(error)
    return kind is Fate.COLLIDED or (kind is Fate.LOST and block.lost) or sqlstate(error) == DEMOTED


def _checked(isolation: Isolation | None) -> Isolation | None:
    if isolation is not None and isolation not in ISOLATIONS:
        raise ValueError(f"isolation is {isolation!r}, it may be one of {ISOLATIONS}")
    return isolation


def _not_open() -> UnavailableError:
    return UnavailableError(
        cannot="use db",
        because="it is not open in this process",
        try_="wrap the application in Millions(app), or `async with millions.sdk.nouns.running()`",
    )
