"""Watches one server of a replicated shard: its role, its timeline, how far it has come.

One light connection and one small statement, whose answer is waited for beside everything else, so
that a server that is frozen delays nobody. It decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from millions.errors import MillionsError
from millions.sdk import driver
from millions.sdk.member import Role
from millions.sdk.position import position_of
from millions.sdk.retry import DRIVER_ERRORS
from millions.sdk.visible import HELD

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from millions.sdk.member import Member

    Connection = asyncpg.Connection[Any]

EVERY_S = 0.2
"""Between two looks while all is well: 0.2 % of a core for a shard of three."""

HELD_S = 0.02
"""Between two looks while transactions wait for another primary, which is a second and rarely more.
With 0.2 s the slowest answer while the database moved was 0.62 s (median of 6), with this 0.51."""

HURRIED_S = 0.015
HURRIED_SHARE = 1 / 40
"""Between two looks while the primary is searched for: at first this long, then this share of the
time that the search has taken."""

ANSWER_LIMIT_S = 1.0
"""A server that takes longer counts as silent until it answers."""

SILENCE_LIMIT_S = 4.0
"""After this the connection is given up, and those of a replica are cut: what waits on it fails,
instead of waiting for as long as its machine is frozen."""

CONNECT_LIMIT_S = 1.0
CLOSE_LIMIT_S = 0.5

LOOK = """
    SELECT pg_is_in_recovery() AS replica, pg_postmaster_start_time() AS started,
        CASE WHEN pg_is_in_recovery() THEN greatest(
            (SELECT received_tli FROM pg_stat_wal_receiver),
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
            (SELECT timeline_id FROM pg_control_checkpoint()))
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
        END AS timeline,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_flush_lsn() END::text AS place
"""
"""A standby names the timeline that it receives; where it receives none, the control file does."""

HELD_LOOK = HELD + LOOK

LOST = (*DRIVER_ERRORS, TimeoutError, MillionsError)


class Watch:
    """Looks at one member until it is stopped; `changed` is called after each look."""

    def __init__(self, member: Member, *, name: str, changed: Callable[[Member], None]) -> None:
        self.member = member
        self._name = name
        self._changed = changed
        self._wake = asyncio.Event()
        self._hurried_since_s: float | None = None
        self._held = False
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name=f"millions watch {self._name}")

    async def stop(self) -> None:
        """Stop, and let go of the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._drop()

    def hurry(self, *, wanted: bool) -> None:
        """Look again at once and often, or as usual."""
        self._hurried_since_s = time.monotonic() if wanted else None
        if wanted:
            self._wake.set()

    def hold(self, *, wanted: bool) -> None:
        """Say with the next look, at once, whether transactions are held."""
        self._held = wanted
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except LOST:
                self._drop()
                self._say(answers=False)
            await self._pause()

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = HELD_S if self._held else EVERY_S
        if self._hurried_since_s is not None:
            spent_s = time.monotonic() - self._hurried_since_s
            pause_s = min(pause_s, max(HURRIED_S, spent_s * HURRIED_SHARE))
        timer = loop.call_later(pause_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
            self._wake.clear()

    async def _look(self) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connected()
        sent_at_s = time.monotonic()
        look = HELD_LOOK if self._held else LOOK
        asked = asyncio.ensure_future(self._connection.fetchrow(look, timeout=SILENCE_LIMIT_S))
        try:
            done, _ = await asyncio.wait([asked], timeout=ANSWER_LIMIT_S)
            if not done:  # it may be this process that was held up: the answer still counts
                self._say(answers=False)
                if self.member.role is not Role.PRIMARY:
                    self.member.stop_opening()
        except asyncio.CancelledError:
            asked.cancel()
            raise
        try:
            row = await asked
        except TimeoutError:
            self._silent()
            raise
        assert row is not None  # noqa: S101  # the statement always answers a row
        member = self.member
        member.role = Role.REPLICA if row["replica"] else Role.PRIMARY
        member.started = row["started"]
        member.came(
            position_of(row["place"] or "0/0", row["timeline"] or 0),
            sent_at_s,
        )
        self._say(answers=True)

    async def _connected(self) -> Connection:
        settings = {
            **self.member.arguments["server_settings"],
            "application_name": self._name,
            "statement_timeout": f"{int(SILENCE_LIMIT_S * 1000)}",
        }
        wanted = {**self.member.arguments, "timeout": CONNECT_LIMIT_S, "server_settings": settings}
        return await driver.connect_with(wanted)

    def _silent(self) -> None:
        """Cut what waits on a frozen replica. A primary is cut when another one is found."""
        if self.member.role is not Role.PRIMARY:
            self.member.cut()

    def _say(self, *, answers: bool) -> None:
        self.member.answers = answers
        self.member.looked = True
        self._changed(self.member)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()
