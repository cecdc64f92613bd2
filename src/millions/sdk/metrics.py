"""`metrics`: counters for Prometheus, and the figures that the business asks for.

It is read at the private address only. Asking for its text never blocks the event loop: figures
from the database are refreshed beside it, at most once in `REFRESH_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from millions.errors import UnavailableError
from millions.sdk import metrics_business
from millions.sdk.metrics_business import SCHEMA, Activity, Business, Cohort, Revenue
from millions.sdk.metrics_requests import RequestMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from decimal import Decimal

    import asyncpg

    from millions.directory import Directory
    from millions.sdk.database import Database
    from millions.sdk.session import Session

__all__ = ["SCHEMA", "Business", "Cohort", "Metrics", "Revenue"]

REFRESH_S = 60.0
"""How old the business figures in the Prometheus text may be."""

WAIT_S = 1.0
"""How long a scrape waits for fresh figures; it gets the former ones after that."""


class Metrics:
    """The noun `metrics`. Counters are made at import; business figures need it open."""

    def __init__(self, db: Database) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics()
        self.registry.register(self.requests)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._db = db
        self._activity = Activity()
        self._pool: asyncpg.Pool[Any] | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._fresh_until_s = 0.0
        self._active = self.gauge("millions_active_users", "Active users.", ("window",))
        self._earned = self.gauge("millions_revenue", "Revenue.", ("currency", "window"))

    async def open(self, directory: Directory) -> None:  # noqa: ARG002  # as every noun
        """Begin to write activity."""
        self._pool = self._db.pool()
        self._activity.start(self._pool)

    async def close(self) -> None:
        """Write what was not written yet; stop."""
        pool, self._pool = self._pool, None
        if self._refresh is not None:
            self._refresh.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._refresh
            self._refresh = None
        if pool is not None:
            await self._activity.stop(pool)

    def counter(self, name: str, sentence: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter that only rises: `photos = metrics.counter("photos", "Stored.")`."""
        return Counter(name, sentence, labels, registry=self.registry)

    def gauge(self, name: str, sentence: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge that rises and falls."""
        return Gauge(name, sentence, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        sentence: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = Histogram.DEFAULT_BUCKETS,
    ) -> Histogram:
        """Make a histogram; `buckets` are the upper bounds."""
        return Histogram(name, sentence, labels, buckets=buckets, registry=self.registry)

    def active(self, user_id: object) -> None:
        """Note that a user was active today; costs no query."""
        self._activity.note(str(user_id))

    async def revenue(
        self, amount: Decimal | float | str, currency: str, *, session: Session
    ) -> None:
        """Count money in the transaction that earned it; a rollback takes it back."""
        await metrics_business.earn(session, amount, currency)

    async def report(self, day: date | None = None) -> Business:
        """Answer the business figures as of `day` (UTC), including what is not written yet."""
        pool = self._opened()
        await self._activity.flush(pool)
        return await metrics_business.report(pool, day or metrics_business.today())

    async def text(self) -> tuple[bytes, bytes]:
        """Answer content type and text for Prometheus."""
        if self._pool is not None and time.monotonic() >= self._fresh_until_s:
            if self._refresh is None or self._refresh.done():
                self._refresh = asyncio.create_task(self._refreshed(self._pool))
            await asyncio.wait([self._refresh], timeout=WAIT_S)
        return CONTENT_TYPE_LATEST.encode(), generate_latest(self.registry)

    async def _refreshed(self, pool: asyncpg.Pool[Any]) -> None:
        self._fresh_until_s = time.monotonic() + REFRESH_S
        with contextlib.suppress(Exception):  # the gauges keep their values; the scrape goes on
            found = await metrics_business.lately(pool, metrics_business.today())
            self._active.labels("day").set(found.dau)
            self._active.labels("month").set(found.mau)
            for currency, (today, month) in found.earned.items():
                self._earned.labels(currency, "day").set(float(today))
                self._earned.labels(currency, "month").set(float(month))

    def _opened(self) -> asyncpg.Pool[Any]:
        if self._pool is None:
            raise UnavailableError(
                cannot="use metrics",
                because="it is not open in this process",
                try_="wrap the application in Millions(app), or `async with nouns.running()`",
            )
        return self._pool
