"""The nouns themselves: made here without I/O, opened and closed together in one order.

Each process has one of each. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from millions.directory import ENVIRONMENT_VARIABLE
from millions.errors import SdkError, UnavailableError
from millions.sdk import cache as cache_module
from millions.sdk import (
    embedded,
    files_progress,
    forwarded,
    idempotency,
    metrics_business,
    schema,
)
from millions.sdk import sessions as sessions_module
from millions.sdk import store as store_module
from millions.sdk import tasks as tasks_module
from millions.sdk.assets import Assets
from millions.sdk.cache import Cache
from millions.sdk.database import Database
from millions.sdk.directory_watch import DirectoryWatch
from millions.sdk.edge import Edge
from millions.sdk.events import Events
from millions.sdk.files import Files
from millions.sdk.idempotency import Idempotency
from millions.sdk.log import log
from millions.sdk.metrics import Metrics
from millions.sdk.position_cookie import PositionCookie
from millions.sdk.sessions import Sessions
from millions.sdk.store import Store
from millions.sdk.tasks import Tasks, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from millions.directory import Directory

__all__ = [
    "assets",
    "believe",
    "cache",
    "close_all",
    "db",
    "edge",
    "events",
    "files",
    "follow",
    "is_open",
    "log",
    "metrics",
    "open_all",
    "opened_with",
    "running",
    "sessions",
    "start_tasks",
    "stop_tasks",
    "store",
    "tasks",
]

db = Database()
cache = Cache(db)
store = Store(db)
sessions = Sessions(store)
tasks = Tasks(db)
events = Events(db)
files = Files(db)
assets = Assets()
edge = Edge(tasks)
db.watch_commits(edge)
files.tell(edge)
metrics = Metrics(db)
answers_kept = Idempotency(db, sessions)
position_cookie = PositionCookie()

CLOSE_WITHIN_S = 10.0
"""One noun gets this long to close before the next one's turn."""


class Noun(Protocol):
    """What every noun can do."""

    async def open(self, directory: Directory) -> None: ...
    async def close(self) -> None: ...


_AFTER_DB: tuple[Noun, ...] = (
    *(cache, store, sessions, tasks, events, files, assets, metrics),
    *(answers_kept, position_cookie, edge),
)

SCHEMA: tuple[str, ...] = tuple(
    statement
    for module in (
        cache_module,
        store_module,
        sessions_module,
        tasks_module,
        metrics_business,
        idempotency,
        files_progress,
    )
    for statement in getattr(module, "SCHEMA", ())
)
"""All tables of the SDK."""


@dataclass(slots=True)
class _State:
    times: int = 0
    directory: Directory | None = None
    opened: list[Noun] = field(default_factory=list["Noun"])
    watch: DirectoryWatch | None = None
    worker: Worker | None = None
    stopping: asyncio.Task[None] | None = None


_state = _State()
_changing = asyncio.Lock()


async def open_all(directory: Directory | None = None, *, run_tasks: bool = False) -> None:
    """Open every noun on `directory` (the environment's when None).

    Opening twice is counted: the last `close_all` closes. Raise UnavailableError when an engine
    does not answer; what was opened is closed again then.
    """
    async with _changing:
        if _state.times:
            if directory is not None and directory != _state.directory:
                raise SdkError(
                    cannot="open the nouns",
                    because="they are open on another directory in this process",
                    try_="close_all() first",
                )
        else:
            path = os.environ.get(ENVIRONMENT_VARIABLE) if directory is None else None
            found = directory if directory is not None else await asyncio.to_thread(embedded.find)
            await _open(found)
            if path:
                _state.watch = DirectoryWatch(path, found.epoch, follow)
                _state.watch.start()
        _state.times += 1
    if run_tasks:
        await start_tasks()


async def close_all() -> None:
    """Stop the worker; close every noun, the last opened first, when nobody else opened them."""
    async with _changing:
        _state.times = max(0, _state.times - 1)
        if not _state.times:
            await stop_tasks()
            await _close()


async def follow(directory: Directory) -> None:
    """Take over what a newer directory says of where the servers are.

    One noun that cannot keeps no other from it. Raise what the first that could not said: this
    directory is then to be followed again.
    """
    former = _state.directory
    if former is None:
        return
    position_cookie.follow(directory)
    cache.follow(directory)
    edge.follow(directory)
    followed = await asyncio.gather(
        db.follow(directory),
        store.home.follow(directory.store),
        files.follow(directory),
        events.follow(directory),
        tasks.open(directory),
        return_exceptions=True,
    )
    for each in followed:
        if isinstance(each, BaseException):
            raise each
    web = replace(former.web, trusted=directory.web.trusted)
    _state.directory = replace(
        former,
        database=directory.database,
        store=directory.store,
        cache=directory.cache,
        files=directory.files,
        queue=directory.queue,
        edge=directory.edge,
        web=web,
    )


def believe(scope: Any) -> None:
    """Believe the balancer of the stack, if there is one, about who sent a request."""
    found = _state.directory
    if found is not None and found.web.trusted:
        forwarded.believe(scope, found.web.trusted)


@asynccontextmanager
async def running(
    directory: Directory | None = None, *, run_tasks: bool = False
) -> AsyncGenerator[None]:
    """Keep the nouns open for one block: `async with nouns.running(): …`."""
    await open_all(directory, run_tasks=run_tasks)
    try:
        yield
    finally:
        await close_all()


async def start_tasks(**options: Any) -> None:
    """Run tasks in this process, as `tasks.worker(**options)` does, until `stop_tasks`."""
    if _state.worker is None:
        _state.worker = await tasks.worker(**options).__aenter__()


async def stop_tasks() -> None:
    """Claim no more tasks; let those under way finish. Called again, wait for the same."""
    worker, _state.worker = _state.worker, None
    if worker is not None:
        _state.stopping = asyncio.create_task(worker.stop(), name="millions stop tasks")
    if _state.stopping is not None:
        await asyncio.shield(_state.stopping)
        _state.stopping = None


def opened_with() -> Directory:
    """Answer the directory that the nouns are open on. Raise UnavailableError when closed."""
    if _state.directory is None:
        raise UnavailableError(
            cannot="use the nouns",
            because="they are not open in this process",
            try_="wrap the application in Millions(app), or `async with nouns.running()`",
        )
    return _state.directory


def is_open() -> bool:
    """Whether every noun is open."""
    return _state.directory is not None


async def _open(directory: Directory) -> None:
    try:
        await _open_one(db, directory)
        async with db.pool().acquire() as connection:
            await schema.ensure(connection, SCHEMA)  # type: ignore[arg-type]  # a pool's proxy is one
        for noun in _AFTER_DB:
            await _open_one(noun, directory)
    except BaseException:
        await _close()
        raise
    _state.directory = directory


async def _open_one(noun: Noun, directory: Directory) -> None:
    _state.opened.append(noun)
    await noun.open(directory)


async def _close() -> None:
    watch, _state.watch = _state.watch, None
    if watch is not None:
        await watch.stop()
    _state.directory = None
    while _state.opened:
        noun = _state.opened.pop()
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await noun.close()
        except Exception as error:  # noqa: BLE001  # the others must be closed all the same
            log.warning("noun not closed", noun=type(noun).__name__, because=str(error))
