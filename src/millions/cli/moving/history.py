"""The history of a database server: what it has of each timeline. A copy is on it, or went astray.

Pure but for `ask`, which asks the server.
Source: PostgreSQL, "Continuous Archiving": timelines and their history files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millions.sdk.position import position_of

if TYPE_CHECKING:
    import asyncpg

    from millions.cli.moving.control_data import ControlData


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One server: it has `timeline` up to `flushed`, and former ones up to where they were `left`.

    Positions are bytes of WAL.
    """

    system: str
    timeline: int
    flushed: int
    left: dict[int, int] = field(default_factory=dict[int, int])

    def has(self, copy: ControlData) -> bool:
        """Whether the server has all that is in the copy.

        That is certain of a copy that stopped cleanly, and of one that followed: not of one that
        was killed as a primary, which may have more than its control file says.
        """
        if copy.system != self.system or not (copy.stopped_cleanly or copy.followed):
            return False
        checkpoint = position_of(copy.checkpoint)
        replayed = position_of(copy.replayed)
        return checkpoint < self._end(copy.timeline) and (
            not replayed or replayed <= self._end(copy.replayed_timeline)
        )

    def _end(self, timeline: int) -> int:
        return self.flushed if timeline == self.timeline else self.left.get(timeline, 0)


async def ask(connection: asyncpg.Connection[Any]) -> History:
    """Ask the server, a primary, as a superuser."""
    row = await connection.fetchrow(
        """SELECT system_identifier::text AS system, timeline,
        pg_current_wal_flush_lsn()::text AS flushed,
        pg_read_file('pg_wal/' || timeline || '.history', true) AS history
        FROM pg_control_system(), left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline"""
    )
    assert row is not None  # noqa: S101  # functions of one row each
    return History(
        system=row["system"],
        timeline=int(row["timeline"], 16),
        flushed=position_of(row["flushed"]),
        left=parse(row["history"] or ""),
    )


def parse(text: str) -> dict[int, int]:
    """Read a history file: where each former timeline was left."""
    lines = (line.split("#")[0].split() for line in text.splitlines())
    return {int(words[0]): position_of(words[1]) for words in lines if len(words) > 1}
