"""What is waited for after a step: proofs that the engines give. Bounded; erases nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncpg

from millions.cli import changing, members, waiting
from millions.errors import ClimbError, NotRunningError
from millions.runtime import supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from millions.cli.progress import Progress
    from millions.directory import DatabasePlace
    from millions.runtime.state import StateFolder

    Unmoved = Callable[..., Awaitable[int | None]]

COMPLETE_WITHIN_S = 300.0
"""A replica is made in seconds here; one of a large database is copied before the step is begun."""

STUCK_S = 120.0
"""Data that moves gets less all the time; when it has not for this long, a person must look."""

BEGUN_WITHIN_S = 20.0
"""Web processes begin to move to new servers within a second; an application that keeps nothing
there never does. Both forms serve then, and nothing is erased."""

LOOK_S = 0.1
ASK_S = 0.25
"""Between two rounds of questions to all members."""

ANSWER_WITHIN_S = 5.0
CONNECT_WITHIN_S = 60.0
"""A database whose leader has died answers again within this."""

PERMANENT = asyncpg.InvalidAuthorizationSpecificationError
"""No later answer would be another one."""


def members_complete(state: StateFolder, progress: Progress) -> None:
    """Wait until one member leads and all others have everything (blocking, bounded)."""
    if not members.units(changing.current(state)):
        return

    def waits_for() -> str:
        waits = _waits_for(state)
        if waits:
            progress.say(f"waits for {waits}")
        return waits

    def late(waits: str) -> ClimbError:
        return ClimbError(
            cannot="prove that the replicas have everything",
            because=f"{waits} is not complete after {COMPLETE_WITHIN_S:g} s",
            try_="millions status, then millions climb --resume",
        )

    waiting.until(state, waits_for, late, within_s=COMPLETE_WITHIN_S, look_s=ASK_S)


def _waits_for(state: StateFolder) -> str:
    """Who is not complete yet; '' when all are."""
    desired = changing.current(state)
    wanted = [each.name for each in members.units(desired)]
    try:
        found = {each.name: each for each in members.confirmed(desired, members.members(desired))}
    except (NotRunningError, KeyError):
        return "the members"
    lacking = [
        name
        for name in wanted
        if name not in found or not (found[name].leads or found[name].complete)
    ]
    return ", ".join(lacking) if members.leader(tuple(found.values())) else "a leader"


def progress_of(module: str) -> Unmoved:
    """Answer the function that says how much has still to move."""
    return cast("Unmoved", import_module(module).unmoved)


def data_moved(
    state: StateFolder, unmoved: Unmoved, progress: Progress, *, to_servers: bool
) -> None:
    """Wait until the engine proves that all of the data is there (blocking).

    Raise ClimbError when it does not become less for two minutes.
    """
    asyncio.run(_moved(state, unmoved, progress, to_servers=to_servers))


async def _moved(
    state: StateFolder, unmoved: Unmoved, progress: Progress, *, to_servers: bool
) -> None:
    least: int | None = None
    patient_until_s = time.monotonic() + STUCK_S
    begun_until_s = time.monotonic() + BEGUN_WITHIN_S
    database = _Database(state)
    try:
        while True:
            left = await database.ask(unmoved, to_servers=to_servers)
            never = left is None and to_servers and time.monotonic() > begun_until_s
            if left == 0 or never:
                return
            if left is not None and (least is None or left < least):
                least, patient_until_s = left, time.monotonic() + STUCK_S
            progress.say("waits for the first move" if left is None else f"{left} still to move")
            if time.monotonic() > patient_until_s:
                raise ClimbError(
                    cannot="prove that all data has moved",
                    because="it was not begun" if least is None else f"{least} are still to move",
                    try_="millions logs, then millions climb --resume",
                )
            supervisor.ensure(state)
            await asyncio.sleep(LOOK_S)
    finally:
        await database.close()


class _Database:
    """Who takes writes now; one connection for as long as that is the same."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._connection: asyncpg.Connection[Any] | None = None

    async def ask(self, unmoved: Unmoved, *, to_servers: bool) -> int | None:
        """Ask once; ask again while no server takes writes. Raise ClimbError when none does."""
        deadline_s = time.monotonic() + CONNECT_WITHIN_S
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await _connected(self._state)
                return await unmoved(self._connection, to_servers=to_servers)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                await self.close()
                if isinstance(error, PERMANENT) or time.monotonic() > deadline_s:
                    raise ClimbError(
                        cannot="ask the database how much has moved",
                        because=str(error) or type(error).__name__,
                        try_="millions status, then millions climb --resume",
                    ) from error
            supervisor.ensure(self._state)
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Drop the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=ANSWER_WITHIN_S)


async def _connected(state: StateFolder) -> asyncpg.Connection[Any]:
    place = _place(state)
    shard = place.shards[0]
    found = (shard.primary, *shard.replicas)
    password = Path(place.password_file).read_text(encoding="utf-8").strip()  # noqa: ASYNC240  # small
    return await asyncpg.connect(
        host=[each.host for each in found],
        port=[each.port for each in found],
        user=place.user,
        password=password,
        database=place.name,
        target_session_attrs=cast("Any", "read-write"),
        timeout=ANSWER_WITHIN_S,
        command_timeout=CONNECT_WITHIN_S,
    )


def _place(state: StateFolder) -> DatabasePlace:
    desired = changing.current(state)
    if desired is None or desired.directory is None:
        raise NotRunningError(
            cannot="ask the database", because="the stack does not run", try_="millions status"
        )
    return desired.directory.database
