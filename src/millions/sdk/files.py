"""`files`: uploads and what is made of them, by name. A folder here, S3 from rung 6 on.

Whole files appear or nothing does. It never holds a large file in memory, never trusts a name or a
content type, and gives out nothing without a signed URL (`files_served.py` answers those).
Source: obstore, whose blocking calls run in threads: its asynchronous ones abort the process now
and then when the interpreter ends (PyO3/pyo3-async-runtimes issue 40), and cost twice the CPU.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import obstore
import obstore.exceptions
import orjson
from obstore.store import LocalStore

from millions.errors import MachineError, SignatureError, UnavailableError
from millions.sdk.files_types import HEAD_BYTES, UNKNOWN, RefusedError, decide, sniff
from millions.sdk.files_upload import CHUNK_BYTES, MIB, Upload, put_staged, sweep_staged
from millions.sdk.signing import Signer, read_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable

    from millions.directory import Directory

NAME_BYTES_MAX = 512
BASE_URL = "/files/"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One stored file. `etag` changes exactly when its content does."""

    name: str
    size: int
    content_type: str
    etag: str


class FileReader:
    """A file that is being read: what it is, and its bytes as an async iterator of chunks."""

    def __init__(self, store: LocalStore, about: StoredFile, span: tuple[int, int]) -> None:
        self.about = about
        self.size = about.size
        self.content_type = about.content_type
        self._store = store
        self._span = span

    async def __aiter__(self) -> AsyncIterator[bytes]:
        start, end = self._span
        path = _data(self.about.name)
        while start < end:
            stop = min(end, start + CHUNK_BYTES)
            chunk = await asyncio.to_thread(_read_range, self._store, path, (start, stop))
            if not chunk:
                return
            yield chunk
            start += len(chunk)


class Files:
    """The noun `files`. Made without I/O; usable between `open` and `close`."""

    def __init__(self) -> None:
        self._store: LocalStore | None = None
        self._signer: Signer | None = None
        self._max_mib = 0

    async def open(self, directory: Directory) -> None:
        """Open the folder of the directory; make it when it is missing."""
        folder = Path(directory.files.folder)
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(
                cannot=f"open the folder of files {folder}",
                because=error.strerror or str(error),
                try_=f"ls -ld {folder.parent}",
            ) from error
        secret = await asyncio.to_thread(read_secret, directory.secret_file)
        self._signer = Signer(secret, "file URL")
        self._max_mib = directory.files.max_mib
        self._store = LocalStore(prefix=folder, mkdir=True)
        await asyncio.to_thread(sweep_staged, self._store)

    async def close(self) -> None:
        """Forget the folder; nothing is held open."""
        self._store = self._signer = None

    async def put(
        self,
        name: str,
        content: bytes | AsyncIterable[bytes],
        *,
        accept: Iterable[str] | None = None,
        max_mib: float | None = None,
        content_type: str | None = None,
    ) -> StoredFile:
        """Store `content` as `name`, in place of what was there.

        `accept` lists content types (`image/jpeg`, `image/*`), compared with what the first bytes
        prove. Raise FileRefusedError when it is empty, of another type, or larger than `max_mib`
        (the stack's bound when None); nothing is stored then.
        """
        store = self._opened()
        path = _data(name)
        bound = min(max_mib or self._max_mib, self._max_mib)
        source = Upload(name, content, int(bound * MIB))
        first = await source.first()
        kind = decide(source.head, claimed=content_type, accept=accept, name=name)
        try:
            if source.ended:
                await asyncio.to_thread(obstore.put, store, path, first, use_multipart=False)
            else:
                chunks = source.rest(first, asyncio.get_running_loop())
                await asyncio.to_thread(put_staged, store, path, chunks)
        except (OSError, obstore.exceptions.BaseError) as error:
            if error is source.error:
                raise
            raise _no_room(name, error) from error
        about = StoredFile(name=name, size=source.size, content_type=kind, etag=source.etag())
        await asyncio.to_thread(
            obstore.put, store, _about(name), orjson.dumps(asdict(about)), use_multipart=False
        )
        return about

    async def get(self, name: str, *, span: tuple[int, int] | None = None) -> FileReader:
        """Open `name` for reading, `span` (start, end) of it or the whole.

        Raise FileRefusedError when there is none.
        """
        about = await self.about(name)
        return FileReader(self._opened(), about, span or (0, about.size))

    async def read(self, name: str) -> bytes:
        """Answer the whole content of `name`. Raise FileRefusedError when there is none."""
        reader = await self.get(name)
        return b"".join([chunk async for chunk in reader])

    async def about(self, name: str) -> StoredFile:
        """Say what `name` is. Raise FileRefusedError when there is none."""
        store = self._opened()
        _data(name)
        try:
            return await asyncio.to_thread(_look_up, store, name)
        except FileNotFoundError:
            raise RefusedError(
                404, cannot=f"read {name}", because="there is no such file"
            ) from None

    async def delete(self, name: str) -> bool:
        """Delete `name`; answer whether it was there."""
        return await asyncio.to_thread(_delete, self._opened(), name)

    def url(self, name: str, expires_s: int = 3600) -> str:
        """Answer a URL that gives out `name` for `expires_s` to twice that, to whoever has it.

        It stays the same for `expires_s` seconds, so that browsers can keep what they fetched.
        """
        _data(name)
        expires = (math.floor(time.time() / expires_s) + 2) * expires_s
        key = self._signed().sign(f"{expires}:{name}".encode())
        return f"{BASE_URL}{quote(name)}?key={key}"

    def allowed(self, name: str, key: str) -> int:
        """Answer for how many more seconds `key` gives `name` out. Raise SignatureError."""
        expires, _, signed = self._signed().verify(key).decode().partition(":")
        left_s = int(expires) - int(time.time())
        if signed != name or left_s <= 0:
            raise SignatureError(
                cannot="accept this file URL",
                because="it has expired" if signed == name else "it was given out for another file",
                try_="ask for a new one",
            )
        return left_s

    def _opened(self) -> LocalStore:
        if self._store is None:
            raise UnavailableError(
                cannot="use files",
                because="it is not open in this process",
                try_="wrap the application in Millions(app), or `async with nouns.running()`",
            )
        return self._store

    def _signed(self) -> Signer:
        self._opened()
        assert self._signer is not None  # noqa: S101  # opened together
        return self._signer


def _checked(name: str) -> str:
    """Answer `name` when it is a relative path of plain segments. Raise RefusedError (400)."""
    segments = name.split("/")
    because = ""
    if not name or len(name.encode()) > NAME_BYTES_MAX:
        because = f"names have 1 to {NAME_BYTES_MAX} bytes"
    elif any(each in {"", ".", ".."} or each.startswith(".") for each in segments):
        because = "each part between slashes must begin with something other than a dot"
    elif any(ord(each) < 0x20 or each in '\\\x7f#%*?"<>|^`{}[]~' for each in name):  # noqa: PLR2004  # ASCII control characters
        because = "it holds a character that is not safe in paths"
    if because:
        raise RefusedError(
            400, cannot=f"use the file name {name[:80]!r}", because=because, try_="2026/photo-7.jpg"
        )
    return name


def _data(name: str) -> str:
    return f"data/{_checked(name)}"


def _about(name: str) -> str:
    return f"about/{_checked(name)}"


def _read_range(store: LocalStore, path: str, span: tuple[int, int]) -> bytes:
    return bytes(obstore.get_range(store, path, start=span[0], end=span[1]))


def _look_up(store: LocalStore, name: str) -> StoredFile:
    """Read what is known of `name`; found out anew when a crash came between its two halves."""
    held = obstore.head(store, _data(name))
    try:
        about = StoredFile(**orjson.loads(bytes(obstore.get(store, _about(name)).bytes())))
    except (FileNotFoundError, ValueError, TypeError):
        about = None
    if about is not None and about.size == held["size"]:
        return about
    head = _read_range(store, _data(name), (0, min(HEAD_BYTES, held["size"])))
    return StoredFile(
        name=name,
        size=held["size"],
        content_type=sniff(head) or UNKNOWN,
        etag=hashlib.sha256((held["e_tag"] or "").encode()).hexdigest()[:32],
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


def _no_room(name: str, error: Exception) -> MachineError:
    return MachineError(
        cannot=f"store {name}",
        because=str(error).partition("\n")[0],
        try_="df -h, then make room on the disk",
    )
