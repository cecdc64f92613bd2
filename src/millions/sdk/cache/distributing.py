"""Distributing: reaches the servers that the directory names, and follows it while it changes.

Without servers nothing of theirs is even imported. Nobody waits for it but who opens the cache.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from millions.errors import MillionsError, SdkError
from millions.sdk.cache.ledger import AWAY, Ledger
from millions.sdk.log import log
from millions.sdk.signing import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from millions.directory import Directory
    from millions.sdk.cache.coherence import Coherence
    from millions.sdk.cache.loading import Loading
    from millions.sdk.cache.remote import Remote

AGAIN_AFTER_S = 1.0
"""A directory that could not be followed, because the database was away, is tried again."""


class Distributing:
    """Gives the cache its servers. `name` tells this process from every other one."""

    def __init__(
        self,
        pool: Callable[[], asyncpg.Pool[Any]],
        coherence: Coherence,
        loading: Loading,
        *,
        name: str,
    ) -> None:
        self._ledger = Ledger(pool)
        self._coherence = coherence
        self._loading = loading
        self._name = name
        self._wanted: Directory | None = None
        self._followed: Directory | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self, directory: Directory) -> None:
        """Reach the servers, for a bounded time; who does not answer is tried on."""
        self._changed = asyncio.Event()  # of this event loop, which may be another one
        self._wanted = directory
        await self._follow()
        if self._loading.remote is not None:
            await self._loading.remote.servers.first_look()
        self._task = asyncio.create_task(self._run(), name="cache servers")

    def want(self, directory: Directory) -> None:
        """Follow `directory` soon."""
        self._wanted = directory
        self._changed.set()

    async def close(self) -> None:
        """Do without servers again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        remote, self._loading.remote = self._loading.remote, None
        self._coherence.servers = None
        self._wanted = self._followed = None
        if remote is not None:
            await remote.servers.close()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(AGAIN_AFTER_S):
                    await self._changed.wait()
            except TimeoutError:
                pass  # what could not be followed is tried again
            self._changed.clear()
            try:
                await self._follow()
            except MillionsError as error:
                log.error("cache servers not used", because=str(error))
                self._followed = self._wanted  # the next directory may be another matter

    async def _follow(self) -> None:
        """Follow what is wanted, unless it was. Raise SdkError when it never can be."""
        wanted, followed = self._wanted, self._followed
        if wanted is None or (followed is not None and followed.cache == wanted.cache):
            return
        secret = await asyncio.to_thread(read_secret, wanted.secret_file)
        remote = self._loading.remote
        if remote is None and wanted.cache.servers:
            remote = _reached(self._ledger, secret, self._coherence, self._name)
            self._coherence.servers, self._loading.remote = remote.servers, remote
        try:  # from here on they are told of every commit of ours
            if remote is None:
                await self._ledger.register(secret, wanted.epoch, ())
            else:
                await remote.servers.follow(wanted.cache, wanted.epoch)
        except AWAY as error:
            log.warning("cache servers not followed yet", because=str(error))
            return
        self._followed = wanted


def _reached(ledger: Ledger, secret: bytes, coherence: Coherence, name: str) -> Remote:
    try:
        from millions.sdk.cache.remote import Remote  # noqa: PLC0415  # only where there are some
        from millions.sdk.cache.servers import Servers  # noqa: PLC0415
    except ImportError as error:
        raise SdkError(
            cannot="use the cache servers of the stack",
            because=f"a package is not installed: {error}",
            try_="pip install 'millions[cached]' where the application runs",
        ) from error
    return Remote(Servers(ledger, secret, hearing=lambda: coherence.hearing), secret, name=name)
