"""The embedded form of `files`: a folder. Each file is put in its place by a rename.

Beside each file lies what is known of it; should a crash come between the two, that is found out
anew from the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
import obstore.exceptions
import orjson
from obstore.store import LocalStore

from millions.errors import MachineError
from millions.sdk.files_place import Held, StoredFile
from millions.sdk.files_types import HEAD_BYTES, UNKNOWN, RefusedError, sniff
from millions.sdk.files_upload import STAGING, no_room, sweep_staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.sdk.files_upload import Staged


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

    async def put(self, upload: Staged) -> StoredFile:
        """Put it in its place in one step."""
        try:
            await asyncio.to_thread(self._put, upload)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            is_broken = not (self._path / "data").is_dir()
            name = upload.about.name
            raise (no_room(name, error) if is_broken else _in_the_way(name)) from error
        except (OSError, obstore.exceptions.BaseError) as error:
            raise no_room(upload.about.name, error) from error
        return upload.about

    async def find(self, name: str) -> Held | None:
        """Say what is held as `name`."""
        return await asyncio.to_thread(self._find, name)

    async def read(self, held: Held, span: tuple[int, int]) -> bytes:
        """Answer a part of it."""
        return await asyncio.to_thread(_read_range, self._opened(), held.about.name, span)

    async def take_back(self, upload: Staged, at_s: float) -> None:
        """Put it in its place, on the disk, as stored at `at_s`; who calls holds it alone.

        What is known of it comes first: until its bytes are there too, it is read elsewhere.
        """
        await asyncio.to_thread(self._put, upload, at_s, moved=True)

    def names(self) -> Iterator[str]:
        """Go through the names of all files (blocking); what comes meanwhile may be left out."""
        root = self._path / "data"
        for folder, _, files in os.walk(root):
            for each in files:
                yield (Path(folder) / each).relative_to(root).as_posix()

    def path_of(self, name: str) -> Path:
        """Answer where a file's bytes are."""
        return self._path / _data(name)

    def staging(self) -> Path:
        """Answer where uploads grow."""
        return self._path / STAGING

    async def delete(self, name: str) -> bool:
        """Delete it, what is known of it first."""
        return await asyncio.to_thread(self._delete, name)

    async def let_go(self, name: str) -> None:
        """Delete what is elsewhere now; who calls holds it alone.

        Its bytes go first: a crash, or a look, between the two must not find a file here of which
        nothing is known.
        """
        await asyncio.to_thread(self._delete, name, bytes_first=True)

    def _find(self, name: str) -> Held | None:
        store = self._opened()
        try:
            if not (self._path / _data(name)).is_file():  # a part of its path may be a file
                return None
            held = obstore.head(store, _data(name))
            about = _look_up(store, name, held["size"], held["e_tag"] or "")
            at_s = (self._path / _data(name)).stat().st_mtime  # obstore tells whole seconds
        except FileNotFoundError:
            return None
        return Held(about=about, place=self, mark=held["e_tag"] or "", at_s=at_s)

    def _delete(self, name: str, *, bytes_first: bool = False) -> bool:
        data = self._path / _data(name)
        if not data.is_file():
            return False
        both = (self._path / _about(name), data)
        for each in reversed(both) if bytes_first else both:
            each.unlink(missing_ok=True)
        return True

    def _put(self, upload: Staged, at_s: float | None = None, *, moved: bool = False) -> None:
        """Put it in its place, then what is known of it; the other way, on the disk, if `moved`."""
        about = upload.about
        data, beside = self._path / _data(about.name), self._path / _about(about.name)
        path = upload.path
        if path is None:
            path = self._path / STAGING / uuid4().hex
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(upload.content)
        said = path.with_name(f"{path.name}-about")
        said.write_bytes(orjson.dumps(asdict(about)))
        at_ns = time.time_ns() if at_s is None else round(at_s * 1e9)
        os.utime(path, ns=(at_ns, at_ns))
        both = ((path, data), (said, beside))
        try:
            for written, place in reversed(both) if moved else both:
                _rename(written, place, durable=moved)
        except OSError:
            for written, _ in both:
                written.unlink(missing_ok=True)
            raise

    def _opened(self) -> LocalStore:
        assert self._store is not None  # noqa: S101  # the noun opens it
        return self._store


def _in_the_way(name: str) -> RefusedError:
    return RefusedError(
        409,
        cannot=f"store {name}",
        because="a file has the name of one of its folders, or there are files below its name",
        try_="another name",
    )


def _data(name: str) -> str:
    return f"data/{name}"


def _about(name: str) -> str:
    return f"about/{name}"


def _read_range(store: LocalStore, name: str, span: tuple[int, int]) -> bytes:
    return bytes(obstore.get_range(store, _data(name), start=span[0], end=span[1]))


def _rename(written: Path, place: Path, *, durable: bool) -> None:
    if durable:
        _synced(written)
    place.parent.mkdir(parents=True, exist_ok=True)
    written.replace(place)
    if durable:
        _synced(place.parent)


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
