"""Who writes which file, and where files live now, said between the processes of this machine.

A write holds the file's name, shared with other writes of it; who copies that file from one place
to the other holds it alone. A write holds the epoch too in which it was begun: once a newer place
was announced no write begins in the former one, and `drained` says that the last one has ended.
The kernel lets go of what a killed process held. It knows nothing of servers.

Source: locks of open file descriptions (fcntl(2), F_OFD_SETLK), on bytes of one file.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from millions.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

LOCKS = "locks"
MODE = "mode"
"""The names of the two files."""

EPOCHS_MAX = 1 << 40
NAMES = 1 << 20
"""Bytes that stand for names; two names that share one wait for each other, no more."""

ANNOUNCING = EPOCHS_MAX + NAMES
HELD_WITHIN_S = 60.0
"""The longest that a file is held alone is as long as it is sent to servers that hang."""

FOLLOWED_WITHIN_S = 20.0
AGAIN_S = 0.02


class Kind(StrEnum):
    """Where files live: in the folder, in the bucket, or on their way back to the folder."""

    FOLDER = "folder"
    BUCKET = "bucket"
    BACK = "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Where files live since the directory of this epoch."""

    epoch: int
    kind: Kind


class Guard:
    """The locks of one folder. `mode` is what this process has been told."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        self.mode = mode
        self.folder = folder

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncGenerator[None]:
        """Hold `name` for a write where files live now. Raise UnavailableError (bounded)."""
        handle = await asyncio.to_thread(self._open)
        try:
            await self._enter(handle)
            await _held(handle, _byte(name), 1, alone=False, what=f"write {name}")
            yield
        finally:
            os.close(handle)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncGenerator[None]:
        """Hold `name` against every write of it. Raise UnavailableError (bounded)."""
        handle = await asyncio.to_thread(self._open)
        try:
            await _held(handle, _byte(name), 1, alone=True, what=f"copy {name}")
            yield
        finally:
            os.close(handle)

    async def current(self) -> None:
        """Return once this process knows where files live now. Raise UnavailableError (bounded)."""
        ends_at_s = time.monotonic() + FOLLOWED_WITHIN_S
        while (await asyncio.to_thread(self._announced)).kind != self.mode.kind:
            if time.monotonic() > ends_at_s:
                raise UnavailableError(
                    cannot="use files where this process knows them",
                    because="they have moved, and its directory does not say so",
                    try_="millions status",
                )
            await asyncio.sleep(AGAIN_S)

    async def drained(self) -> bool:
        """Say whether every process writes where files live now, and no former write goes on."""
        await self.current()
        epoch = self._announced().epoch
        handle = await asyncio.to_thread(self._open)
        try:
            return _locked(handle, 0, epoch, fcntl.F_WRLCK)
        finally:
            os.close(handle)

    def epoch(self) -> int:
        """Answer the epoch in which files came to live where they do (blocking)."""
        return self._announced().epoch

    async def _enter(self, handle: int) -> None:
        """Hold the epoch in which files live where this process has them."""
        while True:
            await self.current()
            epoch = self._announced().epoch
            await _held(handle, epoch, 1, alone=False, what="begin a write")
            now = self._announced()
            if now.epoch == epoch and now.kind == self.mode.kind:
                return
            _locked(handle, epoch, 1, fcntl.F_UNLCK)

    def _announced(self) -> Mode:
        """Read where files live, after saying so when this process is the first to know."""
        own, found = self.mode, self._read()
        if found is not None and (found.kind == own.kind or found.epoch >= own.epoch):
            return found
        handle = self._open()
        try:
            if not _locked(handle, ANNOUNCING, 1, fcntl.F_WRLCK):
                return found or own
            found = self._read()
            if found is None or (found.kind != own.kind and found.epoch < own.epoch):
                self._write(own)
                return own
            return found
        finally:
            os.close(handle)

    def _read(self) -> Mode | None:
        try:
            epoch, kind = (self.folder / MODE).read_text(encoding="ascii").split()
        except FileNotFoundError:
            return None
        return Mode(epoch=int(epoch), kind=Kind(kind))

    def _write(self, mode: Mode) -> None:
        written = self.folder / f"{MODE}.new"
        with written.open("w", encoding="ascii") as file:
            file.write(f"{mode.epoch} {mode.kind}\n")
            file.flush()
            os.fsync(file.fileno())
        written.replace(self.folder / MODE)

    def _open(self) -> int:
        return os.open(self.folder / LOCKS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _byte(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return EPOCHS_MAX + int.from_bytes(digest) % NAMES


def _locked(handle: int, start: int, length: int, kind: int) -> bool:
    """Take a lock, or let go of it, without waiting; answer whether it was taken."""
    asked = struct.pack("@hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, asked)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _pauses() -> Iterator[float]:
    pause_s = 0.002
    while True:
        yield pause_s
        pause_s = min(AGAIN_S, 2 * pause_s)


async def _held(handle: int, start: int, length: int, *, alone: bool, what: str) -> None:
    kind = fcntl.F_WRLCK if alone else fcntl.F_RDLCK
    ends_at_s = time.monotonic() + HELD_WITHIN_S
    for pause_s in _pauses():
        if _locked(handle, start, length, kind):
            return
        if time.monotonic() > ends_at_s:
            raise UnavailableError(
                cannot=what,
                because=f"another process has held it for {HELD_WITHIN_S:g} s",
                try_="millions status",
            )
        await asyncio.sleep(pause_s)
