"""How far one user sees with one transaction, learned without a round trip of its own.

`application_name` is a setting whose changes PostgreSQL reports beside its answers. So the message
that begins or ends a transaction sets it to the server's place in the log, and the driver has it
when the answer is there. It never decides which server is asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import asyncpg

from millions.sdk.position import covers, position_of
from millions.sdk.visible import NAME_MAX

if TYPE_CHECKING:
    from millions.sdk.member import Member
    from millions.sdk.position import Seen

    Connection = asyncpg.Connection[Any]

PREPARE = (
    "PREPARE millions_place AS"
    " SELECT set_config('application_name', CASE WHEN pg_is_in_recovery()"
    " THEN 'replica ' || coalesce(pg_last_wal_replay_lsn(), '0/0')"
    " ELSE left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) || ' '"
    " || pg_current_wal_flush_lsn() END || ' {name}', false)"
)
"""What shows up in pg_stat_activity as `00000001 0/4402968 photos 4711`. Prepared once on each
connection: that halves what it costs the server."""

PLACE = "EXECUTE millions_place"
ROLLBACK = f"ROLLBACK; {PLACE}"

REPLICA = "replica"
ROLLBACK_LIMIT_S = 5.0
PLACE_LIMIT_S = 2.0
"""The answer to a statement that does nothing; without it the user reads from the primary."""

SNAPSHOTS = ("REPEATABLE READ", "SERIALIZABLE")
"""With these a whole transaction sees what its first statement does."""


def prepare(name: str) -> str:
    """Answer the statement that prepares a connection of the process `name`."""
    plain = "".join(each for each in name if (each.isascii() and each.isalnum()) or each in " -_.")
    return PREPARE.format(name=plain[-NAME_MAX:])


def checked(begin_sql: str) -> str:
    """Begin, and say the place before the first snapshot is taken."""
    if any(each in begin_sql for each in SNAPSHOTS):
        return f"BEGIN READ ONLY; {PLACE}; COMMIT; {begin_sql}"
    return f"{begin_sql}; {PLACE}"


class Track:
    """What one block tells of the user of its request: only what is certain, else a doubt."""

    __slots__ = ("_doubts", "member", "prepare", "seen", "shard")

    def __init__(self, shard: str, seen: Seen, prepare: str) -> None:
        self.shard = shard
        self.seen = seen
        self.prepare = prepare
        self.member: Member | None = None
        self._doubts = seen.doubts

    def is_certain(self, opened_at_s: float) -> bool:
        """Whether a connection of that age shows all that was seen, without asking the server.

        A server does not go back while it runs, and this connection would not have outlived it.
        """
        member = self.member
        return (
            member is not None
            and opened_at_s <= member.reached_at_s
            and covers(member.reached, self.seen.positions.get(self.shard, 0))
        )

    def begun(self, raw: Connection, sent_at_s: float) -> bool:
        """Whether the server that has begun, and said its place, shows all that was seen."""
        reached, _ = self._place(raw, sent_at_s)
        return covers(reached, self.seen.positions.get(self.shard, 0))

    async def roll_back(self, raw: Connection) -> None:
        """Roll back, and note how far the transaction can have seen."""
        if raw.is_closed():
            self.seen.doubt(self.shard)
            return
        self._doubts = self.seen.doubts
        sent_at_s = time.monotonic()
        try:
            await raw.execute(ROLLBACK, timeout=ROLLBACK_LIMIT_S)
            if raw.is_closed():  # by who found another primary meanwhile
                self.seen.doubt(self.shard)
            else:
                self._note(raw, sent_at_s)
        except BaseException:
            self.seen.doubt(self.shard)
            raise

    async def commit(self, raw: Connection, *, within_s: float) -> str:
        """Commit, and note where that lies in the log. Answer what the server says of COMMIT."""
        self.seen.wrote = True
        try:
            tag = await raw.execute("COMMIT", timeout=within_s)
        except BaseException:
            self.seen.doubt(self.shard)
            raise
        self._doubts = self.seen.doubts
        sent_at_s = time.monotonic()
        try:
            await raw.execute(PLACE, timeout=PLACE_LIMIT_S)
            self._note(raw, sent_at_s)
        except Exception:  # noqa: BLE001  # it is committed: where does not matter as much
            self.seen.doubt(self.shard)
            raw.terminate()
        return tag

    def _note(self, raw: Connection, sent_at_s: float) -> None:
        reached, is_primary = self._place(raw, sent_at_s)
        if is_primary:
            self.seen.settle(self.shard, reached, doubts=self._doubts)
        else:
            self.seen.advance(self.shard, reached)

    def _place(self, raw: Connection, sent_at_s: float) -> tuple[int, bool]:
        """What the server said of its place last, and whether it is a primary.

        Raise ConnectionDoesNotExistError when somebody has ended the connection since.
        """
        if raw.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("another primary was found")
        text: str = raw.get_settings().application_name
        timeline, lsn, _ = text.split(" ", 2)
        member = self.member
        assert member is not None  # noqa: S101  # `Block` sets it before it begins
        is_primary = timeline != REPLICA
        reached = position_of(lsn, int(timeline, 16) if is_primary else member.timeline)
        member.came(reached, sent_at_s)
        return reached, is_primary
