"""`edge`: says of an answer that it is the same for everybody, and takes it back.

Without edges it says so to nobody. A purge that belongs to a transaction is a task of it: it is
sent after the commit, by any process, until every edge has answered. It renders and keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from millions.directory import EdgePlace
from millions.errors import SdkError, UnavailableError
from millions.sdk import edge_purging as purging

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.directory import Directory
    from millions.sdk.session import Session
    from millions.sdk.tasks import Tasks

Response = TypeVar("Response")

TTL_MAX_S = 31_536_000
TAGS_BYTES_MAX = 12_000
"""Edges take headers of 16 KiB."""

AGAIN_S = (2.0, 60.0)
"""So long after a purge it is sent once more, and then again: an answer that was rendered before
the commit, or from a replica that was behind it, may have arrived at an edge after the purge."""

NAMES_MAX = 5_000
"""A transaction that invalidates more purges everything."""

RETRIES = 12
"""Over an hour, with growing waits; then it is a dead letter."""


class Edge:
    """The noun. Made without I/O. A CommitWatcher: what a commit invalidates is purged."""

    def __init__(self, tasks: Tasks) -> None:
        self._place = EdgePlace()
        self._send = tasks.task(name="millions.purge", retries=RETRIES, priority=2)(self._sent)

    async def open(self, directory: Directory) -> None:
        """Learn of the edges."""
        self.follow(directory)

    def follow(self, directory: Directory) -> None:
        """Learn of the edges that there are now."""
        self._place = directory.edge

    async def close(self) -> None:
        """Forget the edges."""
        self._place = EdgePlace()

    @property
    def present(self) -> bool:
        """Whether there is anybody to be told."""
        return bool(self._place.servers or self._place.hook or self._place.base_url)

    def cache(
        self,
        response: Response,
        *,
        ttl_s: int,
        tags: Iterable[str] = (),
        browser_s: int = 0,
        revalidate_s: int | None = None,
        stale_s: int | None = None,
    ) -> Response:
        """Let edges give `response` to everybody for `ttl_s`; answer it.

        It is that of Starlette, FastAPI, Litestar or Django: what has `headers`. A transaction that
        `invalidates` one of its `tags` takes it back. `browser_s` lets browsers keep it too, whom
        nobody can tell. The edges' own settings hold where `revalidate_s` (stale-while-revalidate)
        and `stale_s` (stale-if-error) are None. Raise SdkError for what is out of bounds.
        """
        headers: Any = response.headers  # type: ignore[attr-defined]  # each framework has its own
        said = self.headers(
            ttl_s=ttl_s,
            tags=tags,
            browser_s=browser_s,
            revalidate_s=revalidate_s,
            stale_s=stale_s,
        )
        for name, value in said.items():
            headers[name] = value
        return response

    def headers(
        self,
        *,
        ttl_s: int,
        tags: Iterable[str] = (),
        browser_s: int = 0,
        revalidate_s: int | None = None,
        stale_s: int | None = None,
    ) -> dict[str, str]:
        """Answer the headers that `cache` sets."""
        for name, value in (("ttl_s", ttl_s), ("browser_s", browser_s)):
            if not 0 <= value <= TTL_MAX_S:
                raise SdkError(
                    cannot="let edges keep this answer",
                    because=f"{name} is {value}",
                    try_=f"0 to {TTL_MAX_S} seconds",
                )
        keys = " ".join(dict.fromkeys(purging.tag_key(each) for each in tags))
        if len(keys) > TAGS_BYTES_MAX:
            raise SdkError(
                cannot="let edges keep this answer",
                because=f"its tags have {len(keys)} bytes, and edges take {TAGS_BYTES_MAX}",
                try_="a tag that stands for many of them",
            )
        said = {
            "Cache-Control": f"public, max-age={browser_s}" if browser_s else "public, no-cache"
        }
        if self.present:
            more = (("stale-while-revalidate", revalidate_s), ("stale-if-error", stale_s))
            parts = [
                f"max-age={ttl_s}",
                *(f"{name}={value}" for name, value in more if value is not None),
            ]
            said["CDN-Cache-Control"] = ", ".join(parts)
            if keys:
                said["Surrogate-Key"] = keys
        return said

    async def purge(self, *tags: str) -> None:
        """Take back what has one of `tags`, now. Raise UnavailableError when an edge is away."""
        await self._purge([purging.tag_key(each) for each in tags])

    async def purge_urls(self, *urls: str) -> None:
        """Take back what is at these URLs, now, whatever their host and query."""
        await self._purge([purging.path_key(each) for each in urls])

    async def replaced(self, url: str) -> None:
        """Take back what was at this URL, now and, where an edge is away, as soon as it is back.

        Sent again a little later, as after a commit. Without edges nothing is done.
        """
        if self._place.servers or self._place.hook:
            keys, turn = [purging.path_key(url)], 1
            try:
                await self._purge(keys)
            except UnavailableError:
                turn = 0
            await self._send.enqueue(keys, turn, delay_s=AGAIN_S[0])

    async def prepare(self, session: Session, names: frozenset[str]) -> None:
        """Write the purge as a task of the transaction."""
        if self._place.servers or self._place.hook:
            keys = purging.known_keys(sorted(names))
            wanted = keys if len(keys) <= NAMES_MAX else [purging.ALL]
            if wanted:
                await self._send.enqueue(wanted, session=session)

    def committed(self, names: frozenset[str]) -> None:
        """The task is written: nothing is left to do."""

    def aborted(self, names: frozenset[str], *, unknown: bool) -> None:
        """The task exists exactly when the transaction does."""

    async def _purge(self, keys: list[str]) -> None:
        if keys:
            purging.checked(await purging.purge(self._place, keys))

    async def _sent(self, keys: list[str], turn: int = 0) -> None:
        await self._purge(keys)
        if turn < len(AGAIN_S):
            await self._send.enqueue(keys, turn + 1, delay_s=AGAIN_S[turn])
