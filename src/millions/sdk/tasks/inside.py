"""Runs a statement of ours inside a session of the application's. It begins and ends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session as InnerSession

    from millions.sdk.session import Session


async def execute(session: Session, statement: str, values: Sequence[Any]) -> list[int]:
    """Send `statement`, with `$1` as asyncpg counts; answer its first column."""

    def run(inner: InnerSession) -> list[int]:
        found = inner.connection().exec_driver_sql(statement, tuple(values))
        return [int(number) for number in found.scalars()]

    return await session.run_sync(run)
