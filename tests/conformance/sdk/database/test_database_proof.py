"""With an Idempotency-Key a COMMIT that nobody answered must be learnt, and never done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from database_doors import redirected
from proxy import Cut, Relay
from sqlalchemy import text

from millions.directory import Endpoint
from millions.errors import CommitUnknownError
from millions.sdk.database import Database
from millions.sdk.idempotency_rows import SCHEMA, Claim
from millions.sdk.idempotency_traffic import Counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from millions.directory import Directory

SCOPE = {"method": "POST", "path": "/", "query_string": b""}
BOTH = pytest.mark.parametrize(
    "cut", [Cut.BEFORE_COMMIT_ARRIVES, Cut.BEFORE_COMMIT_IS_ANSWERED], ids=lambda cut: cut.value
)


class Site:
    """A database behind a relay that cuts one COMMIT; what was written is counted."""

    def __init__(self, db: Database, relay: Relay, witness: asyncpg.Connection[Any]) -> None:
        self.db, self.relay, self.witness = db, relay, witness
        self.claim = Claim(b"key", SCOPE, Counted(self._nothing))
        self.calls = 0
        self.heard: list[str] = []

    async def work(self, session: Any) -> int:
        """What a request does: write, with the row of its key."""
        self.claim.joins(session)
        self.calls += 1
        session.after_commit(lambda: self.heard.append("committed"))
        session.after_rollback(lambda: self.heard.append("undone"))
        await session.execute(text("INSERT INTO deeds VALUES (1)"))
        return self.calls

    async def deeds(self) -> int:
        return int(await self.witness.fetchval("SELECT count(*) FROM deeds"))

    @staticmethod
    async def _nothing() -> Any:
        return {"type": "http.request", "body": b""}


@pytest_asyncio.fixture(loop_scope="session")
async def site(
    millions_directory: Directory, witness: asyncpg.Connection[Any]
) -> AsyncIterator[Site]:
    await witness.execute("CREATE SCHEMA IF NOT EXISTS millions")
    for statement in (*SCHEMA, "CREATE TABLE deeds (number int)"):
        await witness.execute(statement)
    async with Relay(millions_directory.database.shards[0].primary) as relay:
        db = Database()
        await db.open(redirected(millions_directory, Endpoint(host="127.0.0.1", port=relay.port)))
        relay.cuts = 1
        yield Site(db, relay, witness)
        await db.close()


@BOTH
async def test_run_learns_the_outcome_and_has_one_effect(site: Site, cut: Cut) -> None:
    site.relay.cut = cut
    answer = await site.db.run("a", site.work)
    assert await site.deeds() == 1
    assert site.claim.effects == 1
    if cut is Cut.BEFORE_COMMIT_IS_ANSWERED:
        assert (answer, site.heard) == (1, ["committed"])
    else:
        assert (answer, site.heard) == (2, ["undone", "committed"])


async def test_a_block_whose_commit_took_place_ends_well(site: Site) -> None:
    site.relay.cut = Cut.BEFORE_COMMIT_IS_ANSWERED
    async with site.db.write("a") as session:
        await site.work(session)
    assert (await site.deeds(), site.heard) == (1, ["committed"])


async def test_a_block_whose_commit_did_not_take_place_is_not_called_unknown(site: Site) -> None:
    site.relay.cut = Cut.BEFORE_COMMIT_ARRIVES
    with pytest.raises(Exception, match="connection") as caught:
        async with site.db.write("a") as session:
            await site.work(session)
    assert not isinstance(caught.value, CommitUnknownError)
    assert (await site.deeds(), site.heard) == (0, ["undone"])


@BOTH
async def test_after_two_transactions_of_a_request_nobody_guesses(site: Site, cut: Cut) -> None:
    await site.db.run("a", site.work)
    site.relay.cut = cut
    with pytest.raises(CommitUnknownError):
        await site.db.run("a", site.work)


@BOTH
async def test_without_a_key_the_outcome_stays_unknown(site: Site, cut: Cut) -> None:
    site.relay.cut = cut
    with pytest.raises(CommitUnknownError):
        async with site.db.write("a") as session:
            await session.execute(text("INSERT INTO deeds VALUES (1)"))
