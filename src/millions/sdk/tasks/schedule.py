"""When a schedule is due: cron expressions, by cronsim. Pure: time is passed in.

It never enqueues; `tending` does, once for all processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from millions.errors import TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Task `name` is enqueued at each tick of `expression`, read in `timezone`.

    Five fields as in Debian's cron, or six with seconds first.
    """

    name: str
    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what never ticks or cannot be read."""
        try:
            self.following(datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")))
        except (CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError) as error:
            raise TaskError(
                cannot=f"schedule task {self.name} at {self.expression!r} ({self.timezone})",
                because=str(error) or "it has no tick in 50 years",
                try_="five fields: minute hour day month weekday, such as '*/5 * * * *'",
            ) from error

    def latest(self, now: datetime) -> datetime:
        """The last tick at or before `now`."""
        just_after = now.replace(microsecond=0) + timedelta(seconds=1)
        local = just_after.astimezone(ZoneInfo(self.timezone))
        return next(CronSim(self.expression, local, reverse=True))

    def following(self, now: datetime) -> datetime:
        """The first tick after `now`."""
        return next(CronSim(self.expression, now.astimezone(ZoneInfo(self.timezone))))
