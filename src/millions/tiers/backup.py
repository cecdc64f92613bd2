"""Backup: the database's WAL as it is written, and base backups from time to time.

Runs: `python -m millions.programs.backup`, which runs pg_receivewal and pg_basebackup.
Gives: nothing to the directory.
Source: docs/decisions/0013-backups.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.model import File, Limits, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers.kind import Context, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 10
UNIT = "backup.1"
PASSWORD_SECRET = "database-replication"  # noqa: S105  # the name of a file
STOP_S = 15.0
KILLED_WITHIN_S = 5.0


class Backup(Table):
    """Backups of the database."""

    folder: str = setting(
        "",
        "Folder that the backups are kept in, best on another disk; without it they lie in the "
        "stack's state folder, and are erased with it.",
        example="/mnt/backups/photos",
    )
    every_hours: int = setting(
        24, "How often a base backup is taken.", unit="hours", bounds=(1, 8_760)
    )
    full_every: int = setting(
        7,
        "How many base backups there are to a full one; those between hold what has changed. 1: "
        "each is a full one.",
        unit="backups",
        bounds=(1, 1_000),
    )
    keep_days: int = setting(
        14,
        "For how long back every moment can be restored; what only older ones need is erased.",
        unit="days",
        bounds=(1, 3_650),
    )
    mib_s: int = setting(
        100,
        "How fast a base backup is copied at most, so that requests do not notice.",
        unit="MiB/s",
        bounds=(1, 1_024),
    )
    log_mib: int = setting(
        16, "How much of its log is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("folder")
    @classmethod
    def _folder(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("the absolute path of a folder, such as /mnt/backups/photos")
        return value


def units(context: Context) -> tuple[Unit, ...]:
    """One unit; it finds the server that takes writes by the directory."""
    backup, places = context.table("backup", Backup), context.places
    told = {
        "folder": backup.folder or "{data}",
        "programs": places.engine("postgresql").folder,
        "directory": "{directory}",
        "password_file": f"{{secrets}}/{PASSWORD_SECRET}",
        "every_hours": backup.every_hours,
        "full_every": backup.full_every,
        "keep_days": backup.keep_days,
        "mib_s": backup.mib_s,
    }
    unit = Unit(
        name=UNIT,
        tier="backup",
        server=UNIT,
        command=(places.python, "-m", "millions.programs.backup", "{folder}"),
        environment=(("PATH", places.path), ("LC_ALL", "C"), ("TZ", "UTC")),
        files=(File(path="backup.json", content=json.dumps(told, indent=1) + "\n"),),
        stop=(
            StopStep(signal="SIGTERM", wait_s=STOP_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        needs=("database",),
        holds_data=True,
        limits=Limits(log_mib=backup.log_mib),
    )
    return (unit,)


def gives(context: Context) -> Mapping[str, Any]:  # noqa: ARG001  # the shape of Gives
    """Nothing: applications never ask it."""
    return {}


TIER = Tier(name="backup", index=INDEX, rung=4, settings=Backup, units=units, gives=gives)
