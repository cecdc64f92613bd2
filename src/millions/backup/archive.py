"""The archive of WAL: what the primary writes, received as it is written, by pg_receivewal.

An unbroken row of segments lies in one folder; where the row breaks (the primary has dropped what
was not received yet, or a failover has left what was received) the next folder begins, and a new
base backup with it. The slot bounds what the primary keeps for us, so it never stops because of us.

Source: the PostgreSQL 18 manual, pg_receivewal.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions.backup import catalog, taking
from millions.backup.place import SLOT
from millions.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.backup.catalog import Backup
    from millions.backup.place import Place

STATUS_S = 1
"""How often the primary is told how far we are."""

SLOT_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0
CLEANED_WITHIN_S = 300.0
SAID_BYTES = 4_096
BROKEN = ("already been removed", "not in this server's history", "invalidated", "no longer access")
"""What pg_receivewal says when the row of segments cannot be gone on with."""

AHEAD = "ahead of the WAL flush position"
AHEAD_MAX = 5
"""So often in a row it means that we have what the primary never will; a few times it may pass."""


CUT_OFF = re.compile(r'file "([0-9A-F]{24}\.partial)" has (\d+) bytes?, should be 0 or (\d+)')
"""What pg_receivewal says, and ends, each time that it finds a segment which it had not yet filled
with zeros to its whole length when it died or the disk was full. Nothing was received into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How the archive is. `since_s` is when that began; `problem` is '' while WAL is received."""

    receiving: bool
    since_s: float
    at_s: float
    problem: str = ""


class Archive:
    """The receiver, and the row that it writes."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._receiver: subprocess.Popen[bytes] | None = None
        self._ahead = 0
        self.problem = ""

    @property
    def receiving(self) -> bool:
        """Whether the receiver runs."""
        return self._receiver is not None and self._receiver.poll() is None

    def start(self) -> None:
        """Start the receiver (blocking until there is a slot). Raise BackupError."""
        self._said.write_bytes(b"")
        link = taking.connection(self._place, "millions-archive")
        slot = ("-d", link, "-S", SLOT, "--no-password")
        made = (*slot, "--create-slot", "--if-not-exists")
        taking.run(self._place, "pg_receivewal", *made, within_s=SLOT_WITHIN_S)
        row = self.row()
        row.mkdir(mode=0o700, exist_ok=True)
        with self._said.open("wb") as said:
            self._receiver = subprocess.Popen(
                [
                    self._place.program("pg_receivewal"),
                    *(*slot, "-D", str(row), "-s", str(STATUS_S), "--no-loop"),
                ],
                env=taking.environment(self._place),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def ended(self) -> bool:
        """Take in why the receiver ended; True when another row begins, for this one is broken."""
        self._receiver = None
        said = self._said.read_bytes()[-SAID_BYTES:].decode(errors="replace").strip()
        self.problem = said or "the receiver ended without a word"
        cut_off = CUT_OFF.search(said)
        if cut_off and int(cut_off[2]) < int(cut_off[3]):
            (self.row() / cut_off[1]).unlink(missing_ok=True)
        self._ahead = self._ahead + 1 if AHEAD in said else 0
        broken = any(words in said for words in BROKEN) or self._ahead >= AHEAD_MAX
        if broken:
            self.begin_row()
        return broken

    def begin_row(self) -> None:
        """Go on in another folder, with another slot; what there is stays restorable."""
        self._ahead = 0
        number = int(self.row().name) + 1
        (self._place.wal / f"{number:06d}").mkdir(mode=0o700, exist_ok=True)
        self.began.touch()
        link = taking.connection(self._place, "millions-archive")
        dropped = ("-d", link, "-S", SLOT, "--no-password", "--drop-slot")
        try:
            taking.run(self._place, "pg_receivewal", *dropped, within_s=SLOT_WITHIN_S)
        except BackupError as error:
            self.problem = error.because

    @property
    def began(self) -> Path:
        """A file of the time at which a row began; there until the row has a base backup."""
        return Path(self._place.folder) / "row-began"

    def needs_base(self, backups: Sequence[Backup]) -> bool:
        """Whether the row that is written now has no base backup to begin at (blocking)."""
        try:
            began_s = self.began.stat().st_mtime
        except FileNotFoundError:
            return False
        if not backups or backups[-1].began_s < began_s:
            return True
        self.began.unlink(missing_ok=True)
        return False

    def row(self) -> Path:
        """The folder of the row that is written now."""
        rows = sorted(each for each in self._place.wal.iterdir() if each.name.isdigit())
        return rows[-1] if rows else self._place.wal / "000001"

    def stop(self) -> None:
        """Stop the receiver (blocking, bounded); what it received is on the disk."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        receiver.send_signal(signal.SIGINT)
        try:
            receiver.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            receiver.kill()
            receiver.wait()

    @property
    def _said(self) -> Path:
        return Path(self._place.folder) / "receiver.log"


def tell(place: Place, condition: Condition) -> None:
    """Write how the archive is (blocking)."""
    fresh = place.condition.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(condition)) + "\n", encoding="utf-8")
    fresh.rename(place.condition)


def told(place: Place) -> Condition | None:
    """Read how the archive is (blocking); None when nothing is known."""
    try:
        return Condition(**json.loads(place.condition.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def prune(place: Place) -> tuple[str, ...]:
    """Erase what no moment of the last days needs (blocking); answer the backups that went.

    Hold the place alone meanwhile.
    """
    backups = catalog.listed(place.base)
    gone = catalog.superfluous(backups, now_s=time.time(), keep_days=place.keep_days)
    for name in gone:
        _erase(place.base / name)
    _clean(place, tuple(each for each in backups if each.name not in gone))
    return gone


def _clean(place: Place, backups: tuple[Backup, ...]) -> None:
    """Erase the WAL before the first segment that a backup needs, and rows that became empty."""
    first = catalog.oldest_wal(backups)
    if not first:
        return
    rows = sorted(each for each in place.wal.iterdir() if each.is_dir())
    for row in rows:
        run = ("pg_archivecleanup", str(row), first)
        taking.run(place, *run, within_s=CLEANED_WITHIN_S)
        if row != rows[-1] and not any(row.glob("[0-9A-F]" * 24 + "*")):
            _erase(row)


def _erase(folder: Path) -> None:
    """Erase a folder that nobody takes for a backup from the first moment on."""
    (folder / catalog.FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
