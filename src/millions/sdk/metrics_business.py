"""Business figures: active users by day and month, retention by cohort, revenue.

Activity is collected in memory and written in batches, so that `active()` costs no query; a crash
loses at most `FLUSH_S` seconds of it. Revenue is a row in the transaction that earned it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from millions.errors import SdkError
from millions.sdk.log import log
from millions.sdk.texts import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from millions.sdk.session import Session

SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS millions.activity (
        day date NOT NULL, user_id text NOT NULL, PRIMARY KEY (day, user_id))
    """,
    """
    CREATE TABLE IF NOT EXISTS millions.first_seen (
        user_id text PRIMARY KEY, day date NOT NULL)
    """,
    """
    CREATE TABLE IF NOT EXISTS millions.revenue (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        currency text NOT NULL,
        amount numeric(18, 4) NOT NULL)
    """,
    "CREATE INDEX IF NOT EXISTS revenue_at ON millions.revenue (at)",
)

FLUSH_S = 5.0
PENDING_MAX = 100_000
"""Users waiting to be written; beyond them activity is dropped until the database is back."""

REMEMBERED_MAX = 200_000
"""Users of today that need not be written again."""

USER_CHARACTERS_MAX = 200
LATELY_WITHIN_S = 20.0
MONTHS = 12
"""How far back `retention` looks."""

WRITE = """
    WITH seen AS (
        INSERT INTO millions.activity (day, user_id)
        SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING RETURNING user_id)
    INSERT INTO millions.first_seen (user_id, day) SELECT user_id, $1 FROM seen
    ON CONFLICT DO NOTHING
"""
COUNTS = """
    SELECT count(*) FILTER (WHERE day = $1) AS day, count(DISTINCT user_id) AS month
    FROM millions.activity WHERE day > $1 - 30 AND day <= $1
"""
RETENTION = """
    WITH active AS (
        SELECT DISTINCT date_trunc('month', f.day)::date AS cohort,
            date_trunc('month', a.day)::date AS month, a.user_id
        FROM millions.activity a JOIN millions.first_seen f USING (user_id)
        WHERE f.day >= date_trunc('month', $1::date) - make_interval(months => $2))
    SELECT cohort, (extract(year FROM age(month, cohort)) * 12
        + extract(month FROM age(month, cohort)))::int AS later, count(*) AS users
    FROM active GROUP BY 1, 2 ORDER BY 1, 2
"""
REVENUE = """
    SELECT currency, coalesce(sum(amount) FILTER (WHERE at >= $1::date), 0) AS today,
        coalesce(sum(amount) FILTER (WHERE at >= $1::date - 29), 0) AS month, sum(amount) AS total
    FROM millions.revenue GROUP BY currency ORDER BY currency
"""
REVENUE_LATELY = """
    SELECT currency, coalesce(sum(amount) FILTER (WHERE at >= $1::date), 0) AS today,
        sum(amount) AS month
    FROM millions.revenue WHERE at >= $1::date - 29 GROUP BY currency
"""
EARN = "INSERT INTO millions.revenue (currency, amount) VALUES (:currency, :amount)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """People first seen in one month: how many, and which share was active n months later."""

    month: date
    size: int
    active: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revenue:
    """Money of one currency: today, in the last 30 days, ever."""

    currency: str
    today: Decimal
    month: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """What the business asks: active users of one day (`dau`), of 30 days (`mau`), the rest."""

    day: date
    dau: int
    mau: int
    retention: tuple[Cohort, ...]
    revenue: tuple[Revenue, ...]


class Activity:
    """Who was active: remembered for the day, written in batches."""

    def __init__(self) -> None:
        self._day = today()
        self._pending: dict[str, None] = {}
        self._written: OrderedDict[str, None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def note(self, user: str) -> None:
        """Take one user; cheap when the user was seen today."""
        if user in self._written:
            return
        if len(self._pending) >= PENDING_MAX:
            self.dropped += 1
            return
        self._pending[storable(user[:USER_CHARACTERS_MAX])] = None

    def start(self, pool: asyncpg.Pool[Any]) -> None:
        """Begin to write every FLUSH_S seconds."""
        self._task = asyncio.create_task(self._run(pool), name="millions activity")

    async def stop(self, pool: asyncpg.Pool[Any]) -> None:
        """Write what is left, once; stop, and forget who was written: it may reopen elsewhere."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self._try_flush(pool)
        self._written.clear()
        self._pending.clear()

    async def flush(self, pool: asyncpg.Pool[Any]) -> None:
        """Write what was taken."""
        day, users = self._day, sorted(self._pending)  # one order, so that no two wait in a ring
        if users:
            await pool.execute(WRITE, day, users, timeout=FLUSH_S * 2)
        for user in users:
            self._pending.pop(user, None)
            self._written[user] = None
        while len(self._written) > REMEMBERED_MAX:
            self._written.popitem(last=False)
        if today() != self._day:
            self._day = today()
            self._written.clear()

    async def _run(self, pool: asyncpg.Pool[Any]) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._try_flush(pool)

    async def _try_flush(self, pool: asyncpg.Pool[Any]) -> None:
        try:
            await self.flush(pool)
        except Exception as error:  # noqa: BLE001  # kept, and tried again with the next batch
            log.warning("activity not written yet", because=str(error), users=len(self._pending))


def today() -> date:
    """Today in UTC, which is where a day begins and ends in all figures."""
    return datetime.now(UTC).date()


async def earn(session: Session, amount: Decimal | float | str, currency: str) -> None:
    """Write one amount in the caller's transaction. Raise SdkError when it is not money."""
    await session.execute(text(EARN), {"currency": _currency(currency), "amount": money(amount)})


def money(amount: Decimal | float | str) -> Decimal:
    """Answer `amount` with four decimals. Raise SdkError when it is not a finite number."""
    try:
        value = Decimal(str(amount)).quantize(Decimal("0.0001"))
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite():
        raise SdkError(
            cannot="count revenue",
            because=f"{amount!r} is no amount",
            try_='revenue("9.90", "EUR")',
        )
    return value


def _currency(name: str) -> str:
    if not (len(name) == 3 and name.isascii() and name.isalpha() and name.isupper()):  # noqa: PLR2004  # ISO 4217
        raise SdkError(
            cannot="count revenue",
            because=f"{name!r} is no currency",
            try_="three capital letters as in ISO 4217, such as EUR",
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What is asked for each minute: `earned` has today's and the month's of each currency."""

    dau: int
    mau: int
    earned: dict[str, tuple[Decimal, Decimal]]


async def lately(pool: asyncpg.Pool[Any], day: date) -> Lately:
    """Ask the database for the figures of `day` and the month that ends with it (bounded)."""
    counts = await pool.fetchrow(COUNTS, day, timeout=LATELY_WITHIN_S)
    earned = await pool.fetch(REVENUE_LATELY, day, timeout=LATELY_WITHIN_S)
    return Lately(
        dau=counts["day"] if counts else 0,
        mau=counts["month"] if counts else 0,
        earned={row["currency"]: (row["today"], row["month"]) for row in earned},
    )


async def report(pool: asyncpg.Pool[Any], day: date) -> Business:
    """Ask the database for all figures as of `day`."""
    counts = await pool.fetchrow(COUNTS, day)
    cohorts = await pool.fetch(RETENTION, day, MONTHS)
    earned = await pool.fetch(REVENUE, day)
    return Business(
        day=day,
        dau=counts["day"] if counts else 0,
        mau=counts["month"] if counts else 0,
        retention=_cohorts([(row["cohort"], row["later"], row["users"]) for row in cohorts]),
        revenue=tuple(
            Revenue(
                currency=row["currency"],
                today=row["today"],
                month=row["month"],
                total=row["total"],
            )
            for row in earned
        ),
    )


def _cohorts(rows: Sequence[tuple[date, int, int]]) -> tuple[Cohort, ...]:
    """Group (cohort, months later, users) into cohorts; month 0 is the cohort's size."""
    months: dict[date, dict[int, int]] = {}
    for cohort, later, users in rows:
        months.setdefault(cohort, {})[later] = users
    found: list[Cohort] = []
    for month, active in sorted(months.items()):
        size = active.get(0, 0)
        shares = tuple(
            active.get(each, 0) / size if size else 0.0 for each in range(max(active) + 1)
        )
        found.append(Cohort(month=month, size=size, active=shares))
    return tuple(found)
