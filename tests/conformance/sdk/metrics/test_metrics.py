"""The laws of `metrics`: figures that the business can rely on."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from millions.errors import SdkError, UnavailableError
from millions.sdk.database import Database
from millions.sdk.metrics import Metrics
from millions.sdk.metrics_business import today
from millions.testing import eventually


async def test_a_user_counts_once_a_day_however_active(millions_nouns: Any) -> None:
    metrics = millions_nouns.metrics
    for _ in range(3):
        for user in ("ann", "bob", 7):
            metrics.active(user)
    report = await metrics.report()
    assert (report.day, report.dau, report.mau) == (today(), 3, 3)
    metrics.active("ann")
    assert (await metrics.report()).dau == 3


async def test_activity_is_written_without_being_asked_for(millions_nouns: Any) -> None:
    millions_nouns.metrics.active("ann")
    pool = millions_nouns.db.pool()
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM millions.activity"), within_s=20)


async def test_a_name_that_postgresql_refuses_keeps_no_other_from_being_counted(
    millions_nouns: Any,
) -> None:
    for name in ("ann", "a\0b", "half \ud800"):
        millions_nouns.metrics.active(name)
    assert (await millions_nouns.metrics.report()).dau == 3


async def test_what_is_scraped_each_minute_looks_at_no_more_than_a_month(
    millions_nouns: Any,
) -> None:
    pool = millions_nouns.db.pool()
    millions_nouns.metrics.active("ann")
    await millions_nouns.metrics.report()
    await pool.execute("ALTER TABLE millions.first_seen RENAME TO away")  # retention reads it
    try:

        async def told() -> bool:
            return b'active_users{window="day"} 1.0' in (await millions_nouns.metrics.text())[1]

        assert await eventually(told, within_s=10)
    finally:
        await pool.execute("ALTER TABLE millions.away RENAME TO first_seen")


async def test_activity_survives_an_orderly_end(millions_directory: Any) -> None:
    db = Database()
    metrics = Metrics(db)
    await db.open(millions_directory)
    await _tables(db)
    await metrics.open(millions_directory)
    metrics.active("ann")
    await metrics.close()
    assert await db.pool().fetchval("SELECT user_id FROM millions.activity") == "ann"
    await db.close()


async def test_months_and_cohorts_are_counted_from_each_users_first_day(
    millions_nouns: Any,
) -> None:
    pool = millions_nouns.db.pool()
    march, april, may = date(2026, 3, 10), date(2026, 4, 20), date(2026, 5, 30)
    seen = {
        march: ["a", "b", "c", "d"],
        april: ["a", "b", "e", "f"],
        may: ["a", "e"],
    }
    for day, users in seen.items():
        for user in users:
            await _was_active(pool, user, day)
            await _was_active(pool, user, day - timedelta(days=1))
    report = await millions_nouns.metrics.report(may)
    assert (report.dau, report.mau) == (2, 2)
    assert (await millions_nouns.metrics.report(date(2026, 5, 18))).mau == 4
    cohorts = {each.month: (each.size, each.active) for each in report.retention}
    assert cohorts == {
        date(2026, 3, 1): (4, (1.0, 0.5, 0.25)),
        date(2026, 4, 1): (2, (1.0, 0.5)),
    }


async def test_revenue_belongs_to_the_transaction_that_earned_it(millions_nouns: Any) -> None:
    db, metrics = millions_nouns.db, millions_nouns.metrics
    async with db.write("ann") as session:
        await metrics.revenue(9.90, "EUR", session=session)
        await metrics.revenue("0.1", "EUR", session=session)
        await metrics.revenue(Decimal(5), "USD", session=session)

    async def unpaid(session: Any) -> None:
        await metrics.revenue(1_000_000, "EUR", session=session)
        raise RuntimeError("not paid after all")

    with pytest.raises(RuntimeError):
        await db.run("ann", unpaid)
    earned = {each.currency: each for each in (await metrics.report()).revenue}
    assert earned["EUR"].today == earned["EUR"].month == earned["EUR"].total == Decimal("10.0000")
    assert earned["USD"].total == Decimal(5)


@pytest.mark.parametrize("amount", ["much", float("nan"), float("inf"), ""], ids=repr)
async def test_what_is_no_amount_is_refused(millions_nouns: Any, amount: Any) -> None:
    async with millions_nouns.db.write("ann") as session:
        with pytest.raises(SdkError, match="no amount"):
            await millions_nouns.metrics.revenue(amount, "EUR", session=session)


@pytest.mark.parametrize("currency", ["", "euro", "eur", "E€R", "EUR;"], ids=repr)
async def test_what_is_no_currency_is_refused(millions_nouns: Any, currency: str) -> None:
    async with millions_nouns.db.write("ann") as session:
        with pytest.raises(SdkError, match="no currency"):
            await millions_nouns.metrics.revenue(1, currency, session=session)


async def test_the_text_for_prometheus_has_business_figures_and_the_applications_own(
    millions_directory: Any,
) -> None:
    db = Database()
    metrics = Metrics(db)
    stored = metrics.counter("photos", "Photos stored.", ["kind"])
    stored.labels("jpeg").inc(3)
    await db.open(millions_directory)
    await _tables(db)
    await metrics.open(millions_directory)
    metrics.active("ann")
    await metrics.report()
    kind, text = await metrics.text()
    assert kind.startswith(b"text/plain")
    assert b'photos_total{kind="jpeg"} 3.0' in text
    assert b'millions_active_users{window="day"} 1.0' in text
    assert b"process_cpu_seconds_total" in text
    await metrics.close()
    await db.close()


async def test_a_scrape_is_answered_while_the_database_is_away(
    millions_directory: Any, millions_postgres: Any
) -> None:
    db = Database()
    metrics = Metrics(db)
    await db.open(millions_directory)
    await metrics.open(millions_directory)
    millions_postgres.drop_database(millions_directory.database.name)
    async with asyncio.timeout(5):
        assert b"millions_requests_in_flight" in (await metrics.text())[1]
    await metrics.close()
    await db.close()


async def test_closed_it_counts_but_cannot_report(millions_directory: Any) -> None:
    metrics = Metrics(Database())
    metrics.counter("early", "Made at import.").inc()
    metrics.active("ann")
    with pytest.raises(UnavailableError, match="wrap the application"):
        await metrics.report()
    assert b"early_total 1.0" in (await metrics.text())[1]


async def _was_active(pool: Any, user: str, day: date) -> None:
    await pool.execute(
        "INSERT INTO millions.activity (day, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        *(day, user),
    )
    await pool.execute(
        """INSERT INTO millions.first_seen (user_id, day) VALUES ($2, $1)
        ON CONFLICT (user_id) DO UPDATE SET day = least(first_seen.day, excluded.day)""",
        *(day, user),
    )


async def _tables(db: Database) -> None:
    from millions.sdk import metrics_business, schema  # noqa: PLC0415  # only these two tests

    async with db.pool().acquire() as connection:
        await schema.ensure(connection, metrics_business.SCHEMA)
