"""How far one user sees with one transaction, learned without a round trip of its own.

`application_name` is a setting whose changes PostgreSQL reports beside its answers. So the message
that begins or ends a transaction sets it to the server's place in the log, and the driver has it
when the answer is there. It never decides which server is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millions.sdk.position import covers, position_of

if TYPE_CHECKING:
    import asyncpg

    from millions.sdk.member import Member
    from millions.sdk.position import Seen

    Connection = asyncpg.Connection[Any]

PLACE = (
    "SELECT set_config('application_name', CASE WHEN pg_is_in_recovery()"
    " THEN 'replica ' || coalesce(pg_last_wal_replay_lsn(), '0/0')"
    " ELSE left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) || ' '"
    " || pg_current_wal_flush_lsn() END || ' {name}', false)"
)
"""What shows up in pg_stat_activity as `00000001 0/4402968 photos 4711`."""

NAME_MAX = 24
"""PostgreSQL keeps 63 bytes of it, the place takes up to 26."""

REPLICA = "replica"
ROLLBACK_LIMIT_S = 5.0
PLACE_LIMIT_S = 2.0
"""The answer to a statement that does nothing; without it the user reads from the primary."""


class Words:
    """The messages of one process: what begins, ends and follows its transactions."""

    __slots__ = ("place", "roll_back")

    def __init__(self, name: str) -> None:
        plain = "".join(
            each for each in name if (each.isascii() and each.isalnum()) or each in " -_."
        )
        self.place = PLACE.format(name=plain[-NAME_MAX:])
        self.roll_back = f"ROLLBACK; {self.place}"

    def begin(self, begin_sql: str, *, snapshot: bool) -> str:
        """Begin a transaction, and say the place before its first snapshot is taken.

        With `snapshot` the whole transaction sees what its first statement does, so the place is
        said by one before it.
        """
        if snapshot:
            return f"BEGIN READ ONLY; {self.place}; COMMIT; {begin_sql}"
        return f"{begin_sql}; {self.place}"


class Track:
    """What one block tells of the user of its request: only what is certain, else a doubt."""

    __slots__ = ("_doubts", "_words", "member", "seen", "shard")

    def __init__(self, shard: str, seen: Seen, words: Words) -> None:
        self.shard = shard
        self.seen = seen
        self.member: Member | None = None
        self._words = words
        self._doubts = seen.doubts

    def begun(self, raw: Connection) -> bool:
        """Whether the server that has begun shows all that was seen. Asked of reads only."""
        reached, _ = self._place(raw)
        return covers(reached, self.seen.positions.get(self.shard, 0))

    async def roll_back(self, raw: Connection) -> None:
        """Roll back, and note how far the transaction can have seen."""
        if raw.is_closed():
            self.seen.doubt(self.shard)
            return
        self._doubts = self.seen.doubts
        try:
            await raw.execute(self._words.roll_back, timeout=ROLLBACK_LIMIT_S)
            self._note(raw)
        except BaseException:
            self.seen.doubt(self.shard)
            raise

    async def commit(self, raw: Connection, *, within_s: float) -> str:
        """Commit, and note where that lies in the log. Answer what the server says of COMMIT."""
        try:
            tag = await raw.execute("COMMIT", timeout=within_s)
        except BaseException:
            self.seen.doubt(self.shard)
            raise
        self._doubts = self.seen.doubts
        try:
            await raw.execute(self._words.place, timeout=PLACE_LIMIT_S)
            self._note(raw)
        except Exception:  # noqa: BLE001  # it is committed: where does not matter as much
            self.seen.doubt(self.shard)
            raw.terminate()
        return tag

    def _note(self, raw: Connection) -> None:
        reached, is_primary = self._place(raw)
        if is_primary:
            self.seen.settle(self.shard, reached, doubts=self._doubts)
        else:
            self.seen.advance(self.shard, reached)

    def _place(self, raw: Connection) -> tuple[int, bool]:
        """What the server said of its place last, and whether it is a primary."""
        text: str = raw.get_settings().application_name
        timeline, lsn, _ = text.split(" ", 2)
        if timeline != REPLICA:
            return position_of(lsn, int(timeline, 16)), True
        member = self.member
        assert member is not None  # noqa: S101  # `Block` sets it before it begins
        return position_of(lsn, member.timeline), False
