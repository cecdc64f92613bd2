"""The session that a block of `db.write` or `db.read` hands out: SQLAlchemy's, bound to one key.

It records what shall happen with the outcome of the transaction and refuses rows of another key.
It never begins or ends the transaction by itself; `block.py` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import UUID

from sqlalchemy import event, orm
from sqlalchemy.ext.asyncio import AsyncSession

from millions.errors import NotRoutableError, UnavailableError
from millions.sdk.sharding import REFERENCE, AnyKey, Sharding, sharding_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from millions.sdk.transaction import Transaction


class CommitWatcher(Protocol):
    """Who must know of the names that a transaction invalidates: the cache."""

    async def prepare(self, session: Session, names: frozenset[str]) -> None:
        """Called inside the transaction, right before COMMIT; what it raises rolls back.

        Exactly one of `committed` and `aborted` follows, with the same names.
        """

    def committed(self, names: frozenset[str]) -> None:
        """Called when COMMIT was acknowledged."""

    def aborted(self, names: frozenset[str], *, unknown: bool) -> None:
        """Called when it was not; `unknown` when it may have happened all the same."""


class NotCommitted(Exception):  # noqa: N818  # an answer, not an error
    """The transaction in question did not happen, and never will."""


class BlockSession(orm.Session):
    """The synchronous session inside; it knows its key and its transaction."""

    key: AnyKey
    transaction: Transaction
    outer: Session

    def rollback(self) -> None:
        """Undo what was done so far; the block goes on in a new transaction."""
        super().rollback()
        self.transaction.abandon()
        self.outer.forget_hooks()
        if not self.transaction.usable:
            raise UnavailableError(
                cannot="go on after the rollback",
                because="the connection to the database is gone",
                try_="db.run, which repeats the whole block",
            )
        self.transaction.begin()


class Session(AsyncSession):
    """One transaction on the shard of `key`. The block that made it commits it."""

    sync_session_class = BlockSession
    sync_session: BlockSession  # pyright: ignore[reportIncompatibleVariableOverride]

    key: AnyKey
    shard: str
    proof: Callable[[Session], Awaitable[None]] | None
    """Proves, in a transaction of its own, that this one was committed; raises NotCommitted when
    it never was, anything else when nobody can know."""

    def __init__(
        self, bind: AsyncConnection, *, key: AnyKey, shard: str, transaction: Transaction
    ) -> None:
        super().__init__(bind, expire_on_commit=False)
        self.key = key
        self.shard = shard
        self.names: set[str] = set()
        self.before: list[Callable[[Session], Awaitable[None]]] = []
        self.after: list[Callable[[], None]] = []
        self.undone: list[Callable[[], None]] = []
        self.proof: Callable[[Session], Awaitable[None]] | None = None
        inner = self.sync_session
        inner.key = key
        inner.transaction = transaction
        inner.outer = self

    def invalidates(self, *names: str) -> None:
        """Name cache keys and tags that are stale once this transaction is committed."""
        if self.sync_session.transaction.read_only:
            raise NotRoutableError(
                cannot=f"invalidate {', '.join(names)}",
                because="db.read changes nothing, so nothing becomes stale with it",
                try_="db.write(key), or cache.invalidate outside of a transaction",
            )
        self.names.update(names)

    def before_commit(self, call: Callable[[Session], Awaitable[None]]) -> None:
        """Await `call(session)` inside the transaction, right before COMMIT."""
        self.before.append(call)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call once COMMIT was acknowledged."""
        self.after.append(call)

    def after_rollback(self, call: Callable[[], None]) -> None:
        """Call when the transaction did not happen, or nobody knows whether it did."""
        self.undone.append(call)

    def forget_hooks(self) -> None:
        """Drop what belonged to a transaction that was rolled back inside the block."""
        undone, self.undone = self.undone, []
        self.names.clear()
        self.before.clear()
        self.after.clear()
        call_all(undone)


def call_all(calls: list[Callable[[], None]]) -> None:
    """Call each, even when one raises; then raise the first error."""
    errors: list[Exception] = []
    for call in calls:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # raised below, when the others were called
            errors.append(error)
    if errors:
        raise errors[0]


def _before_insert(mapper: orm.Mapper[Any], _: object, row: object) -> None:
    _check_row(mapper, row, deed="insert", fill=True)


def _before_update(mapper: orm.Mapper[Any], _: object, row: object) -> None:
    _check_row(mapper, row, deed="update", fill=False)


def _before_delete(mapper: orm.Mapper[Any], _: object, row: object) -> None:
    _check_row(mapper, row, deed="delete", fill=False)


for _name, _check in (
    ("before_insert", _before_insert),
    ("before_update", _before_update),
    ("before_delete", _before_delete),
):
    event.listen(orm.Mapper, _name, _check)


def _check_row(mapper: orm.Mapper[Any], row: object, *, deed: str, fill: bool) -> None:
    """Refuse a row that belongs to another key than the session's."""
    session = orm.object_session(row)
    if not isinstance(session, BlockSession):
        return
    table = cast("Table", mapper.local_table)
    sharding = sharding_of(table)
    if session.transaction.read_only:
        raise _refusal(deed, table, "db.read is for reading", "db.write(key)")
    if sharding is None:
        return
    if sharding.column is None:
        _check_reference(session, table, deed)
        return
    _check_key(session, mapper, sharding, row, (deed, fill))


def _check_reference(session: BlockSession, table: Table, deed: str) -> None:
    if session.key is not REFERENCE:
        raise _refusal(
            deed,
            table,
            f"it is reference data, and this transaction belongs to the key {session.key!r}",
            "db.write(REFERENCE), in a block of its own",
        )


def _check_key(
    session: BlockSession,
    mapper: orm.Mapper[Any],
    sharding: Sharding,
    row: object,
    deed: tuple[str, bool],
) -> None:
    table = cast("Table", mapper.local_table)
    column = table.columns[sharding.column or ""]
    attribute = mapper.get_property_by_column(column).key
    value = getattr(row, attribute)
    if session.key is REFERENCE:
        raise _refusal(
            deed[0],
            table,
            f"it is sharded by {column.key}, and this transaction is for reference data",
            f"db.write(key) with the row's {column.key}",
        )
    if value is None and deed[1]:
        setattr(row, attribute, session.key)
        return
    former = orm.attributes.instance_state(row).committed_state.get(attribute)
    for each in (value, former):
        if isinstance(each, UUID | int | str) and each != session.key:
            raise _refusal(
                deed[0],
                table,
                f"its {column.key} is {each!r}, this transaction belongs to {session.key!r}",
                "a block of its own for each key; move rows by inserting, then deleting",
            )


def _refusal(deed: str, table: Table, because: str, try_: str) -> NotRoutableError:
    return NotRoutableError(cannot=f"{deed} a row of {table.name}", because=because, try_=try_)
