"""The process of a climb's clients: started, listened to, ended. Never outlives the command."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import orjson

from millions.cli.climbing.seen import Told
from millions.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.climbing.seen import Load, Seen
    from millions.model import Address

BEGINS_WITHIN_S = 120.0
"""Sixteen people sign up, each with a password that takes a tenth of a second to hash."""

ENDS_WITHIN_S = 300.0
"""The last look turns the pages of everything that was uploaded."""

KILLED_WITHIN_S = 10.0


class Clients:
    """Clients that ask `address` as `load` says, recorded in the file `history`."""

    def __init__(self, address: Address, history: Path, load: Load, seen: Seen) -> None:
        self._seen = seen
        self._began, self._over = threading.Event(), threading.Event()
        self._said: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "millions.drill.climbs.client", str(address), str(history)),
                *("--workload", load.workload, "--clients", str(load.clients)),
                *("--rate", str(load.rate_per_s), "--note", load.workload),
                *(word for each in load.paths for word in ("--path", each)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the command, which ends this in order
        )
        self._reader = threading.Thread(target=self._read, name="climb clients", daemon=True)
        self._reader.start()

    @property
    def times(self) -> tuple[float, float, float]:
        """The clock's zero as unix seconds; from when and until when they asked without pause."""
        said = self._said
        return said["began_at_s"], said["load_from"], said["load_until"]

    def wait_begun(self) -> None:
        """Wait until the load is on (blocking). Raise MachineError when it cannot be."""
        self._began.wait(BEGINS_WITHIN_S)
        self._require("began_at_s", "put load on the stack")

    def end(self) -> None:
        """Let them stop, and take the last look (blocking). Raise MachineError when they cannot."""
        assert self._process.stdin is not None  # noqa: S101  # a pipe was asked for
        self._process.stdin.close()
        self._over.wait(ENDS_WITHIN_S)
        self._require("ended", "take the last look at what was written")

    def kill(self) -> None:
        """End what is left of them (blocking, bounded)."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(KILLED_WITHIN_S)
        self._reader.join(KILLED_WITHIN_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _require(self, word: str, what: str) -> None:
        if word in self._said:
            return
        raise MachineError(
            cannot=str(self._said.get("cannot", what)),
            because=str(self._said.get("because", "the clients ended, or said nothing in time")),
            try_=str(self._said.get("try", "millions status, then again")),
        )

    def _read(self) -> None:
        """Take in what they say, until they end."""
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        for line in self._process.stdout:
            said = orjson.loads(line)
            if "rate" in said:
                said.pop("at")
                self._seen.hear(Told(**said))
                continue
            self._said |= said
            if "began_at_s" in said:
                self._began.set()
        self._began.set()
        self._over.set()
