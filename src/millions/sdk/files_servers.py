"""The servers of an S3 bucket, and how a request is tried on one after the other.

Every attempt and all of them together have a bound. A server that was silent is asked last for a
while, and then by one request alone. It decides nothing about files.

Source: obstore's S3 store; its blocking calls run in threads of our own, because those that wait
for a slow server must not keep the other nouns from theirs.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import obstore
import obstore.exceptions
from obstore.store import S3Store

from millions.errors import MachineError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from millions.directory import FilesPlace

Answer = TypeVar("Answer")

CONNECT_WITHIN_S = 1.0
QUICK_WITHIN_S = 5.0
"""The first attempt to read a megabyte or to store a small file; then another server is asked."""

PATIENT_WITHIN_S = 20.0
"""Later attempts, and one part of a large file: the server may itself be waiting, 10 s, for one of
the two copies that hangs, before it asks for the other."""

ATTEMPTS_FOR_S = 35.0
"""No further attempt begins after this, once each server was asked. A master that hangs is replaced
within 25 s, and volume servers tell the new one of themselves within 5 s. The last attempt may take
PATIENT_WITHIN_S, which is still within what a request and the guard of a file may take."""

PAUSE_S = (0.05, 1.0)
"""Between two rounds of all servers; it doubles."""

SHUNNED_S = (1.0, 20.0)
"""How long a server that did not answer is asked last; it doubles while it stays silent."""

NOBODY = "data/~"
"""A name that no file can have."""

QUERY = re.compile(r"\?\S*")
THREADS = 16
"""Reads under way in one process, and as many writes beside them; others wait for their turn."""


class NoBucketError(Exception):
    """There is no such bucket."""


REFUSED = (
    obstore.exceptions.PermissionDeniedError,
    obstore.exceptions.UnauthenticatedError,
    obstore.exceptions.InvalidPathError,
    obstore.exceptions.NotSupportedError,
    NoBucketError,
)
"""What another attempt would not change."""


@dataclass(slots=True)
class Server:
    """One address of the storage. `quick` and `patient` differ in how long they wait.

    `shunned_until_s` and `silent_s` say how it has answered.
    """

    url: str
    quick: S3Store
    patient: S3Store
    shunned_until_s: float = 0.0
    silent_s: float = 0.0

    def begins(self, now_s: float) -> None:
        """Let nobody else try a server that was silent, before this request has."""
        if self.silent_s:
            self.shunned_until_s = max(self.shunned_until_s, now_s + self.silent_s)

    def failed(self, now_s: float) -> None:
        """Ask it last for a while."""
        least, most = SHUNNED_S
        self.silent_s = min(most, max(least, 2 * self.silent_s))
        self.shunned_until_s = now_s + self.silent_s

    def answered(self) -> None:
        """It is well."""
        self.silent_s = self.shunned_until_s = 0.0


class Servers:
    """The servers of one bucket. `answered` says that one has answered this process.

    `attempts_for_s` bounds the time in which attempts may begin; None: `ATTEMPTS_FOR_S`.
    """

    def __init__(
        self, place: FilesPlace, secret: str, *, attempts_for_s: float | None = None
    ) -> None:
        self.answered = False
        self._attempts_for_s = ATTEMPTS_FOR_S if attempts_for_s is None else attempts_for_s
        self._servers = [_server(place, secret, url) for url in _urls(place)]
        self._turn = 0
        self._reads, self._writes = _Turns("read"), _Turns("write")

    def close(self) -> None:
        """Let requests under way end by themselves; none begins any more."""
        for each in (self._reads, self._writes):
            each.threads.shutdown(wait=False, cancel_futures=True)

    def follow(self, place: FilesPlace, secret: str) -> None:
        """Ask the servers that `place` names from now on."""
        known = {each.url: each for each in self._servers}
        self._servers = [known.get(url) or _server(place, secret, url) for url in _urls(place)]

    async def ask(self) -> bool:
        """Ask each server once; answer whether one has answered."""
        for server in self._in_turn():
            try:
                await self._reads.run(partial(obstore.head, server.quick, NOBODY))
            except FileNotFoundError:
                self.answered = True
            except (OSError, obstore.exceptions.BaseError):
                continue
            return self.answered
        return self.answered

    async def tried(
        self,
        what: str,
        deed: Callable[[S3Store], Answer],
        *,
        missing: Answer,
        patient: bool = False,
        writes: bool = False,
    ) -> Answer:
        """Do `deed` on one server after the other until one has answered; quickly, then `patient`.

        `missing` is the answer when there is no such file. What `writes` ends before whoever is
        cancelled goes on. Raise UnavailableError when none has answered in time, MachineError when
        what is asked is refused.
        """
        turns = self._writes if writes else self._reads
        ends_at_s, pause_s = time.monotonic() + self._attempts_for_s, PAUSE_S[0]
        asked, said = 0, ""
        async with turns.taken(what, self._attempts_for_s):
            while True:
                for server in self._in_turn():
                    if asked >= len(self._servers) and time.monotonic() >= ends_at_s:
                        raise UnavailableError(cannot=what, because=said, try_="millions status")
                    store, asked = server.patient if patient else server.quick, asked + 1
                    found = await self._once(what, server, turns, partial(deed, store), missing)
                    if not isinstance(found, _Silence):
                        return found
                    said = f"{server.url}: {found}"
                await asyncio.sleep(pause_s)
                patient, pause_s = True, min(PAUSE_S[1], 2 * pause_s)

    async def _once(
        self,
        what: str,
        server: Server,
        turns: _Turns,
        deed: Callable[[], Answer],
        missing: Answer,
    ) -> Answer | _Silence:
        server.begins(time.monotonic())
        try:
            answer = await turns.run(deed, waits=turns is self._writes)
        except (FileNotFoundError, obstore.exceptions.PreconditionError):
            answer = missing
        except REFUSED as error:
            raise _refused(what, server, error) from error
        except (OSError, obstore.exceptions.BaseError) as error:
            server.failed(time.monotonic())
            return _Silence(_words(error))
        server.answered()
        self.answered = True
        return answer

    def _in_turn(self) -> Sequence[Server]:
        """The servers, another one first each time; those that were silent last."""
        self._turn += 1
        at, now_s = self._turn % len(self._servers), time.monotonic()
        turned = self._servers[at:] + self._servers[:at]
        return sorted(turned, key=lambda each: max(0.0, each.shunned_until_s - now_s))


class _Turns:
    """Who may ask next: as many at once as there are threads, each waiting a bounded time."""

    def __init__(self, kind: str) -> None:
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"millions-files-{kind}")
        self._free = asyncio.Semaphore(THREADS)

    @asynccontextmanager
    async def taken(self, what: str, within_s: float) -> AsyncGenerator[None]:
        """Have a turn for the block. Raise UnavailableError when there was none in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._free.acquire()
        except TimeoutError:
            raise UnavailableError(
                cannot=what,
                because=f"{THREADS} others have waited for the storage for {within_s:g} s",
                try_="millions status",
            ) from None
        try:
            yield
        finally:
            self._free.release()

    async def run(self, deed: Callable[[], Answer], *, waits: bool = False) -> Answer:
        """Run `deed` in a thread. One that `waits` has ended before a cancellation goes on."""
        begun = self.threads.submit(deed)
        running = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if not begun.cancel() and waits:
                await asyncio.wait([running], timeout=PATIENT_WITHIN_S + CONNECT_WITHIN_S)
            if running.done() and not running.cancelled():
                running.exception()
            raise


class _Silence(str):
    """Why a server did not do what it was asked."""

    __slots__ = ()


def _urls(place: FilesPlace) -> list[str]:
    """One address of another's storage, or those of our own servers, also of former ones."""
    if place.url:
        return [place.url]
    return [f"http://{each.host}:{each.port}" for each in (*place.servers, *place.former)]


def _server(place: FilesPlace, secret: str, url: str) -> Server:
    def store(within_s: float) -> S3Store:
        return S3Store(
            place.bucket,
            endpoint=url,
            region=place.region,
            access_key_id=place.access_key,
            secret_access_key=secret,
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": url.startswith("http://"),
                "connect_timeout": timedelta(seconds=CONNECT_WITHIN_S),
                "timeout": timedelta(seconds=within_s),
                "pool_idle_timeout": timedelta(seconds=30),
            },
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=within_s)},
        )

    return Server(url=url, quick=store(QUICK_WITHIN_S), patient=store(PATIENT_WITHIN_S))


def _refused(what: str, server: Server, error: Exception) -> MachineError:
    return MachineError(
        cannot=what,
        because=f"{server.url} refused it: {_words(error)}",
        try_="look at bucket, access_key and secret of [files]",
    )


def _words(error: Exception) -> str:
    """The first line of an error, without a URL's query: it never holds a key, but be sure."""
    return QUERY.sub("", str(error).partition("\n")[0])[:200]
