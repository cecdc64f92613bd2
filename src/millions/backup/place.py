"""Where backups are made and kept: `backup.json` of the unit, and the folders below its folder.

Data and paths only; it never touches the database.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Generator

LOOK_S = 0.2
SLOT = "millions_backup"
"""Keeps for the archive what it has not got yet. Patroni knows it by this name too."""

ROLE = "millions_replication"
CONFIGURATION = "backup.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What `backup.json` says. Paths are absolute; `programs` is the folder of PostgreSQL's."""

    folder: str
    programs: str
    directory: str
    password_file: str
    every_hours: int
    full_every: int
    keep_days: int
    mib_s: int

    @property
    def base(self) -> Path:
        """The folder of base backups, one folder each."""
        return Path(self.folder) / "base"

    @property
    def wal(self) -> Path:
        """The folder of archived WAL: a folder for each unbroken row of segments."""
        return Path(self.folder) / "wal"

    @property
    def condition(self) -> Path:
        """What the archive says of itself."""
        return Path(self.folder) / "condition.json"

    @property
    def passwords(self) -> Path:
        """The file from which PostgreSQL's programs take the password; mode 0600."""
        return Path(self.folder) / "passwords"

    def program(self, name: str) -> str:
        """The path of one of PostgreSQL's programs."""
        return f"{self.programs}/{name}"

    def make(self) -> None:
        """Make the folders that are missing. Raise BackupError where that cannot be."""
        try:
            for folder in (Path(self.folder), self.base, self.wal):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            password = Path(self.password_file).read_text(encoding="utf-8").strip()
            descriptor = os.open(self.passwords, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"*:*:*:{ROLE}:{password}\n")
        except OSError as error:
            raise BackupError(
                cannot=f"keep backups in {self.folder}",
                because=f"{error.strerror or error} ({error.filename})",
                try_="a folder that the user of the units may write, in [backup] folder",
            ) from error


def text(place: Place) -> str:
    """Answer `backup.json`."""
    return json.dumps(asdict(place), indent=1) + "\n"


def read(path: Path) -> Place:
    """Read `backup.json` (blocking). Raise BackupError when there is none."""
    try:
        return Place(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(
            cannot="find the backups of this stack",
            because=f"{path}: {getattr(error, 'strerror', None) or error}",
            try_="[backup] in the stack file, then millions up",
        ) from error


@contextmanager
def held(place: Place, *, alone: bool, within_s: float) -> Generator[None]:
    """Hold the backups: `alone` to make or drop some, with others to read. Raise BackupError."""
    deadline_s = time.monotonic() + within_s
    file = os.open(Path(place.folder) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise BackupError(
                        cannot=f"use the backups in {place.folder}",
                        because="another backup or restore is under way",
                        try_="wait until it is done",
                    ) from None
            time.sleep(LOOK_S)
        yield
    finally:
        os.close(file)
