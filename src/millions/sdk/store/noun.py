"""`store`: data without relations: documents by key, counters, sorted lists.

The embedded form is tables in PostgreSQL, so that a write may belong to the caller's transaction;
the distributed form is servers of its own. What a write acknowledged is durable. Nothing here
expires late: what is over is invisible at once. It never joins, searches or scans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from millions.errors import ConflictError, SdkError, UnavailableError
from millions.sdk.store import sorted_lists
from millions.sdk.store.codec import (
    checked_count,
    checked_key,
    checked_keys,
    checked_ttl,
    encoded,
)
from millions.sdk.store.counting import Counting
from millions.sdk.store.documents import Document, Form, Put, Scored
from millions.sdk.store.home import Home
from millions.sdk.store.sorted_lists import SortedList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from millions.directory import Directory
    from millions.sdk.session import Session
    from millions.sdk.store.rows import PoolSource

Answer = TypeVar("Answer")

ABSENT = 0
"""As `if_version`: only when there is no document yet."""

MANY_MAX = 10_000
"""Keys that one `many` or `counts` asks for."""


class Store:
    """The noun `store`. A key names a document, a counter and a sorted list of its own.

    `session` puts a write into the caller's transaction; only the embedded form can do that.
    """

    def __init__(self, database: PoolSource) -> None:
        self.home = Home(database)
        self._counting = Counting(self._increment_alone)
        self.sweeping = self.home.sweeping
        self._is_open = False

    async def open(self, directory: Directory) -> None:
        """Begin to use the tables, or the servers that the directory names."""
        self._is_open = True
        await self.home.open(directory.store)

    async def close(self) -> None:
        """Stop counting, sweeping and moving; end every connection of its own."""
        self._is_open = False
        await self._counting.close()
        await self.home.close()

    async def get(self, key: str) -> Document | None:
        """The document under `key`."""
        checked_key(key)
        return (await self._do([key], lambda form: form.documents.many([key]))).get(key)

    async def many(self, keys: Iterable[str]) -> dict[str, Document]:
        """The documents under those of `keys` that have one."""
        asked = _checked_many(keys)
        return await self._do(asked, lambda form: form.documents.many(asked))

    async def put(
        self,
        key: str,
        value: Any,
        *,
        ttl_s: float | None = None,
        if_version: int | None = None,
        session: Session | None = None,
    ) -> int:
        """Store `value` and return its version; for `ttl_s` seconds, or for ever.

        `if_version` is the version that it replaces, 0 for none; raise ConflictError when there is
        another.
        """
        checked_key(key)
        put = Put(
            key=key, text=encoded(key, value), ttl_s=checked_ttl(ttl_s), if_version=if_version
        )
        version = await self._do([key], lambda form: form.documents.put(put, session))
        if version is None:
            raise await self._conflict("put", key, if_version, session)
        return version

    async def delete(
        self, key: str, *, if_version: int | None = None, session: Session | None = None
    ) -> bool:
        """Delete what is under `key`: document, counter and list; say whether there was any.

        With `if_version` only the document, and only that version; raise ConflictError when there
        is another.
        """
        checked_key(key)
        if if_version is None:
            return await self._do([key], lambda form: form.documents.delete(key, session))
        if await self._do(
            [key], lambda form: form.documents.delete_version(key, if_version, session)
        ):
            return True
        if await self._do([key], lambda form: form.documents.many([key], session)):
            raise await self._conflict("delete", key, if_version, session)
        return False

    async def increment(
        self, key: str, by: int = 1, *, ttl_s: float | None = None, session: Session | None = None
    ) -> int:
        """Count up by `by` and return the new count.

        `ttl_s` runs from the increment that made the counter: a window that does not slide.
        """
        checked_key(key)
        checked_count(by)
        checked_ttl(ttl_s)
        if session is None:
            return await self._counting.increment(key, by, ttl_s)
        return await self._do([key], lambda form: form.documents.increment(key, by, ttl_s, session))

    async def count(self, key: str) -> int:
        """The count under `key`; 0 when there is none."""
        return (await self.counts([key]))[key]

    async def counts(self, keys: Iterable[str]) -> dict[str, int]:
        """The count under each of `keys`; 0 where there is none."""
        asked = _checked_many(keys)
        found = await self._do(asked, lambda form: form.documents.counts(asked))
        return dict.fromkeys(asked, 0) | found

    def sorted(self, key: str) -> SortedList:
        """The sorted list under `key`; an empty one needs no making."""
        self._check_open()
        return SortedList(self._do, key)

    async def add_to_many(
        self,
        keys: Iterable[str],
        member: str,
        score: float,
        *,
        keep: int | None = None,
        session: Session | None = None,
    ) -> None:
        """Add `member` to each of the sorted lists `keys`, thousands at once.

        Each list keeps its `keep` highest members at least, and soon drops the others.
        """
        item = Scored(member=member, score=score)
        await sorted_lists.add_to_many(self._do, keys, item, keep=keep, session=session)

    async def remove_from_many(
        self, keys: Iterable[str], member: str, *, session: Session | None = None
    ) -> None:
        """Remove `member` from each of the sorted lists `keys`."""
        await sorted_lists.remove_from_many(self._do, keys, member, session=session)

    async def _do(self, keys: Sequence[str], deed: Callable[[Form], Awaitable[Answer]]) -> Answer:
        self._check_open()
        return await self.home.do(keys, deed)

    async def _increment_alone(self, key: str, by: int, ttl_s: float | None) -> int:
        return await self._do([key], lambda form: form.documents.increment(key, by, ttl_s, None))

    async def _conflict(
        self, deed: str, key: str, if_version: int | None, session: Session | None
    ) -> ConflictError:
        found = await self._do([key], lambda form: form.documents.many([key], session))
        return ConflictError(
            cannot=f"{deed} the document {key!r} if its version is {if_version}",
            because=f"its version is {found[key].version}" if found else "there is none",
            try_="store.get it again, apply the change to that, and put with its version",
        )

    def _check_open(self) -> None:
        if not self._is_open:
            raise UnavailableError(
                cannot="use the store",
                because="it is not open",
                try_="run inside Millions(app), or `async with millions.sdk.nouns.running():`",
            )


def _checked_many(keys: Iterable[str]) -> list[str]:
    asked = checked_keys(list(keys))
    if len(asked) > MANY_MAX:
        raise SdkError(
            cannot=f"ask for {len(asked)} keys at once",
            because=f"{MANY_MAX} are the most",
            try_="several calls",
        )
    return asked
