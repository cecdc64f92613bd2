"""Which base backups there are, on which others they build, and which are not needed any more.

Pure but for reading and writing the small file that each backup carries.
"""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "backup.json"
DATA = "data"
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One base backup that is complete and was verified. Times in unix seconds.

    `parent` is the backup that an incremental one builds on, '' for a full one. `first_wal` is the
    first segment of WAL that a restore from it needs. What the database was at `ended_s` and later
    can be restored from it.
    """

    name: str
    parent: str
    began_s: float
    ended_s: float
    bytes: int
    first_wal: str

    @property
    def kind(self) -> str:
        """What people call it."""
        return "incremental" if self.parent else "full"


def listed(base: Path) -> tuple[Backup, ...]:
    """Every backup in the folder, oldest first; what is half made is not one."""
    found: list[Backup] = []
    for folder in sorted(base.iterdir()) if base.is_dir() else ():
        with suppress(OSError, ValueError, TypeError):
            found.append(Backup(**json.loads((folder / FILE).read_text(encoding="utf-8"))))
    return tuple(sorted(found, key=lambda each: each.ended_s))


def write(base: Path, backup: Backup) -> None:
    """Write the file that makes a folder a backup (blocking)."""
    text = json.dumps(dataclasses.asdict(backup), indent=1) + "\n"
    fresh = base / backup.name / f".{FILE}"
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(base / backup.name / FILE)


def chain(backups: Iterable[Backup], name: str) -> tuple[Backup, ...]:
    """Answer the full backup and the incremental ones that lead to `name`, in that order."""
    known = {each.name: each for each in backups}
    found: list[Backup] = []
    while name:
        if name not in known:
            raise BackupError(
                cannot=f"restore from {found[0].name if found else name}",
                because=f"there is no backup {name}" + (", which it builds on" if found else ""),
                try_="millions backup --list",
            )
        found.insert(0, known[name])
        name = known[name].parent
    return tuple(found)


def chosen(backups: tuple[Backup, ...], at_s: float | None) -> Backup:
    """Answer the newest backup from which `at_s` (None: the latest) can be restored."""
    fit = [each for each in backups if at_s is None or each.ended_s <= at_s]
    if fit:
        return fit[-1]
    because = "there is no backup yet" if not backups else "the oldest backup is younger than that"
    raise BackupError(cannot="restore the database", because=because, try_="millions backup --list")


def is_full_due(backups: tuple[Backup, ...], full_every: int) -> bool:
    """Whether the next backup has to be a full one: none is there, or enough build on the last."""
    for since, each in enumerate(reversed(backups), start=1):
        if not each.parent:
            return since >= full_every
    return True


def superfluous(backups: tuple[Backup, ...], *, now_s: float, keep_days: int) -> tuple[str, ...]:
    """Answer the backups that no moment of the last `keep_days` needs.

    Those that build on others come first; the newest full one always stays, with all of its own.
    """
    horizon_s = now_s - keep_days * DAY_S
    fulls = [each for each in backups if not each.parent]
    older = [each for each in fulls if each.ended_s <= horizon_s]
    if not older:
        return ()
    first = older[-1]  # the last full one before the horizon: it reaches from there
    gone = [each for each in backups if each.began_s < first.began_s]
    return tuple(each.name for each in reversed(gone))


def oldest_wal(backups: tuple[Backup, ...]) -> str:
    """Answer the first segment of WAL that any backup needs, without its timeline; '' if none."""
    return min((each.first_wal for each in backups), key=lambda name: name[8:], default="")
