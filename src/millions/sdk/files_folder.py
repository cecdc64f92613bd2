"""The embedded form of `files`: a folder. Each file is put in its place by a rename.

Beside each file lies what is known of it; should a crash come between the two, that is found out
anew from the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import obstore.exceptions
import orjson
from obstore.store import LocalStore

from millions.errors import MachineError
from millions.sdk.files_place import Held, StoredFile
from millions.sdk.files_types import HEAD_BYTES, UNKNOWN, sniff
from millions.sdk.files_upload import put_staged, sweep_staged

if TYPE_CHECKING:
    from millions.sdk.files_upload import Upload


class Folder:
    """Files below one folder of this machine. `open` it before use."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._store: LocalStore | None = None

    async def open(self) -> None:
        """Make the folder when it is missing; sweep what crashes left in it."""
        try:
            await asyncio.to_thread(self._path.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(
                cannot=f"open the folder of files {self._path}",
                because=error.strerror or str(error),
                try_=f"ls -ld {self._path.parent}",
            ) from error
        self._store = LocalStore(prefix=self._path, mkdir=True)
        await asyncio.to_thread(sweep_staged, self._store)

    async def put(self, source: Upload, first: bytes, content_type: str) -> StoredFile:
        """Write it aside, then put it in its place in one step."""
        store, name = self._opened(), source.name
        try:
            if source.ended:
                await asyncio.to_thread(obstore.put, store, _data(name), first, use_multipart=False)
            else:
                chunks = source.rest(first, asyncio.get_running_loop())
                await asyncio.to_thread(put_staged, store, _data(name), chunks)
        except (OSError, obstore.exceptions.BaseError) as error:
            if error is source.error:
                raise
            raise no_room(name, error) from error
        about = StoredFile(
            name=name, size=source.size, content_type=content_type, etag=source.etag()
        )
        await asyncio.to_thread(self._stamp, name)
        said = orjson.dumps(asdict(about))
        await asyncio.to_thread(obstore.put, store, _about(name), said, use_multipart=False)
        return about

    async def find(self, name: str) -> Held | None:
        """Say what is held as `name`."""
        return await asyncio.to_thread(self._find, name)

    async def read(self, held: Held, span: tuple[int, int]) -> bytes:
        """Answer a part of it."""
        return await asyncio.to_thread(_read_range, self._opened(), held.about.name, span)

    async def delete(self, name: str) -> bool:
        """Delete it, what is known of it first."""
        return await asyncio.to_thread(_delete, self._opened(), name)

    def _find(self, name: str) -> Held | None:
        store = self._opened()
        try:
            held = obstore.head(store, _data(name))
            about = _look_up(store, name, held["size"], held["e_tag"] or "")
            at_s = (self._path / _data(name)).stat().st_mtime  # obstore tells whole seconds
        except FileNotFoundError:
            return None
        return Held(about=about, place=self, mark=held["e_tag"] or "", at_s=at_s)

    def _stamp(self, name: str) -> None:
        """Say when it was stored: the system's own time of a file is up to 10 ms old."""
        now_ns = time.time_ns()
        with suppress(FileNotFoundError):  # somebody has deleted it already
            os.utime(self._path / _data(name), ns=(now_ns, now_ns))

    def _opened(self) -> LocalStore:
        assert self._store is not None  # noqa: S101  # the noun opens it
        return self._store


def no_room(name: str, error: Exception) -> MachineError:
    """Answer the error for a file that this machine's disk did not take."""
    return MachineError(
        cannot=f"store {name}",
        because=str(error).partition("\n")[0],
        try_="df -h, then make room on the disk",
    )


def _data(name: str) -> str:
    return f"data/{name}"


def _about(name: str) -> str:
    return f"about/{name}"


def _read_range(store: LocalStore, name: str, span: tuple[int, int]) -> bytes:
    return bytes(obstore.get_range(store, _data(name), start=span[0], end=span[1]))


def _look_up(store: LocalStore, name: str, size: int, mark: str) -> StoredFile:
    """Read what is known of `name`; found out anew when a crash came between its two halves."""
    try:
        about = StoredFile(**orjson.loads(bytes(obstore.get(store, _about(name)).bytes())))
    except (FileNotFoundError, ValueError, TypeError):
        about = None
    if about is not None and about.size == size:
        return about
    head = _read_range(store, name, (0, min(HEAD_BYTES, size)))
    return StoredFile(
        name=name,
        size=size,
        content_type=sniff(head) or UNKNOWN,
        etag=hashlib.sha256(mark.encode()).hexdigest()[:32],
    )


def _delete(store: LocalStore, name: str) -> bool:
    there = True
    try:
        obstore.head(store, _data(name))
    except FileNotFoundError:
        there = False
    for path in (_about(name), _data(name)):
        try:
            obstore.delete(store, path)
        except FileNotFoundError:
            continue
    return there
