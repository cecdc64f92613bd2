"""Contracts: what the cache needs of the database, and what a cached function can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from millions.sdk.listening import ListenSource

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import asyncpg

    from millions.sdk.session import CommitWatcher

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class CacheSource(ListenSource, Protocol):
    """What the cache needs of the database."""

    def watch_commits(self, watcher: CommitWatcher) -> None:
        """Tell `watcher` of every transaction that invalidates names."""
        ...

    def pool(self) -> asyncpg.Pool[Any]:
        """Return the raw connections."""
        ...


class Cached(Protocol[P, R_co]):
    """A function whose answers are cached. `__wrapped__` is the function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Answer from the cache, else load."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The name under which this call's answer is kept, for `s.invalidates(...)`."""
        ...
