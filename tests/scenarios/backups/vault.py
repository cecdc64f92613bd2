"""What the tests of backups write, wait for and restore."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from millions.runtime import processes
from millions.testing import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from ledger import Ledger

SOON_S = 60.0
UNIT = "backup.1"


def write(ledger: Ledger, *names: str) -> None:
    """Write lines, each acknowledged."""
    for name in names:
        request = urllib.request.Request(
            f"http://127.0.0.1:{ledger.port}/lines/{name}", method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201, answer


async def moment(ledger: Ledger) -> str:
    """This moment by the database's clock, after all that was written and before what will be."""
    (found,) = await ledger.sql("SELECT clock_timestamp() FROM pg_sleep(0.05)")
    await ledger.sql("SELECT pg_sleep(0.05)")
    return datetime.fromisoformat(found).astimezone(UTC).isoformat()


async def told(ledger: Ledger) -> dict[str, Any]:
    """What `millions backup --list` says."""
    found: dict[str, Any] = json.loads(await ledger.millions("backup", "--list", "--json"))
    return found


async def archived(ledger: Ledger, backups: int = 1) -> dict[str, Any]:
    """Wait until there are so many backups and what is written is archived."""

    async def check() -> dict[str, Any] | None:
        found = await told(ledger)
        archive = found["archive"] or {}
        well = archive.get("receiving") and not archive.get("problem")
        return found if well and len(found["backups"]) >= backups else None

    return await eventually(check, within_s=SOON_S)


async def lines(ledger: Ledger, *arguments: str, name: str) -> list[str]:
    """Restore, bring the new stack up, and answer the lines that its ledger has."""
    folder = ledger.root / name
    await ledger.millions("restore", "--into", str(folder), *arguments)
    await ledger.millions("-C", str(folder), "up", "--detach")
    asked = ("sql", "--csv", "SELECT name FROM lines ORDER BY at")
    found = (await ledger.millions("-C", str(folder), *asked)).splitlines()[1:]
    await ledger.millions("-C", str(folder), "down")
    return found


def rows(ledger: Ledger) -> list[Path]:
    return sorted((ledger.state.unit(UNIT) / "data" / "wal").iterdir())


def parts(ledger: Ledger) -> list[Path]:
    """The segments that are being received: one, or none."""
    return sorted(rows(ledger)[-1].glob("*.partial"))


def receiver(ledger: Ledger) -> int:
    """The pid of the process that receives what is written; 0 while there is none."""
    for pid in processes.descendants(ledger.pid(UNIT)):
        if processes.name(pid) == "pg_receivewal":
            return pid
    return 0
