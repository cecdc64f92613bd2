"""The backups of one stack: receives WAL without pause and takes base backups when they are due.

    python -m millions.programs.backup FOLDER               run as a unit, until SIGTERM
    python -m millions.programs.backup FOLDER take [full]   take one now, print what it is

FOLDER holds `backup.json`. It changes nothing in the database but its own slot.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from millions.backup import archive, catalog, place, taking
from millions.backup.archive import Archive, Condition
from millions.errors import MillionsError

if TYPE_CHECKING:
    from types import FrameType

    from millions.backup.catalog import Backup
    from millions.backup.place import Place

LOOK_S = 0.2
PAUSE_S = (0.5, 5.0)
"""Between two tries to receive: at first, and at most."""

TOLD_EVERY_S = 5.0
TRIED_AGAIN_S = 300.0
"""A backup that failed is tried again after this."""

HOUR_S = 3_600.0
HELD_WITHIN_S = 600.0
STEADY_S = 2.0
"""A receiver that lives this long does receive."""


def main(arguments: list[str]) -> int:
    """Run the unit, or take one backup; answer the exit status."""
    try:
        where = place.read(Path(arguments[1]) / place.CONFIGURATION)
        where.make()
        if arguments[2:3] == ["take"]:
            taken = take(where, full="full" in arguments[3:])
            print(json.dumps(asdict(taken)))  # noqa: T201  # its answer
            return 0
        Keeper(where, arguments[1]).run()
    except MillionsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def take(where: Place, *, full: bool = False) -> Backup:
    """Take a backup and drop what is not needed any more (blocking)."""
    with place.held(where, alone=True, within_s=HELD_WITHIN_S):
        taken = taking.take(where, full=full)
        archive.prune(where)
    return taken


class Keeper:
    """The unit at work: one receiver, at times one backup beside it."""

    def __init__(self, where: Place, folder: str) -> None:
        self._place = where
        self._folder = folder
        self._archive = Archive(where)
        self._taking: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._pause_s = PAUSE_S[0]
        self._start_at_s = 0.0
        self._started_s = 0.0
        self._take_at_s = 0.0
        self._failed = ""
        self._told = Condition(receiving=False, since_s=time.time(), at_s=0.0)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._take_at_s = self._due_s()
        while not self._stopping:
            self._receive()
            self._back_up()
            self._tell()
            time.sleep(LOOK_S)
        self._archive.stop()
        if self._taking is not None:
            self._taking.terminate()
            self._taking.wait()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _receive(self) -> None:
        """Keep the receiver running; pause longer the more often it ends at once."""
        now_s = time.monotonic()
        if self._archive.receiving:
            if now_s > self._started_s + STEADY_S:
                self._pause_s, self._archive.problem = PAUSE_S[0], ""
            return
        if self._started_s:
            if self._archive.ended():
                self._take_at_s = 0.0
            self._say(self._archive.problem)
            self._started_s = 0.0
            self._start_at_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, PAUSE_S[1])
        if now_s < self._start_at_s:
            return
        try:
            self._archive.start()
            self._started_s = now_s
        except MillionsError as error:
            self._archive.problem = getattr(error, "because", str(error))
            self._say(self._archive.problem)
            self._start_at_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, PAUSE_S[1])

    def _back_up(self) -> None:
        """Begin a backup when one is due; take in how one ended."""
        if self._taking is not None:
            status = self._taking.poll()
            if status is None:
                return
            self._taking = None
            self._failed = "" if status == 0 else "the last backup failed"
            self._take_at_s = self._due_s() if status == 0 else time.time() + TRIED_AGAIN_S
        if time.time() < self._take_at_s or not self._archive.receiving:
            return
        self._say("takes a backup")
        command = (sys.executable, "-m", "millions.programs.backup", self._folder, "take")
        self._taking = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _due_s(self) -> float:
        """When the next backup is due (unix seconds)."""
        backups = catalog.listed(self._place.base)
        if self._archive.needs_base(backups):
            return 0.0
        return backups[-1].began_s + self._place.every_hours * HOUR_S if backups else 0.0

    def _tell(self) -> None:
        """Write how it is, when that is news, and now and then to show that we live."""
        steady = self._archive.receiving and not self._archive.problem
        problem = self._archive.problem or self._failed
        former, now_s = self._told, time.time()
        changed = (steady, problem) != (former.receiving, former.problem)
        if not changed and now_s < former.at_s + TOLD_EVERY_S:
            return
        since_s = now_s if steady is not former.receiving else former.since_s
        self._told = Condition(receiving=steady, since_s=since_s, at_s=now_s, problem=problem)
        try:
            archive.tell(self._place, self._told)
        except OSError as error:
            self._say(f"cannot say how the archive is: {error}")

    def _say(self, words: str) -> None:
        print(words, flush=True)  # noqa: T201  # its output is its log


if __name__ == "__main__":
    sys.exit(main(sys.argv))
