"""`files`: uploads and what is made of them, by name. A folder here, S3 from rung 6 on.

Whole files appear or nothing does. It never holds a large file in memory, never trusts a name or a
content type, and gives out nothing without a signed URL (`files_served.py` answers those).
Source: obstore, whose blocking calls run in threads: its asynchronous ones abort the process now
and then when the interpreter ends (PyO3/pyo3-async-runtimes issue 40), and cost twice the CPU.
"""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from millions.errors import SignatureError, UnavailableError
from millions.sdk.files_both import Both
from millions.sdk.files_bucket import Bucket
from millions.sdk.files_folder import Folder
from millions.sdk.files_servers import Servers
from millions.sdk.files_types import RefusedError, decide
from millions.sdk.files_upload import CHUNK_BYTES, MIB, STAGING, Upload
from millions.sdk.signing import Signer, read_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable

    from millions.directory import Directory, FilesPlace
    from millions.sdk.files_place import Held, Place, StoredFile

NAME_BYTES_MAX = 512
BASE_URL = "/files/"


class FileReader:
    """A file that is being read: what it is, and its bytes as an async iterator of chunks."""

    def __init__(self, held: Held, span: tuple[int, int]) -> None:
        self.about = held.about
        self.size = held.about.size
        self.content_type = held.about.content_type
        self._held = held
        self._span = span

    def part(self, span: tuple[int, int]) -> FileReader:
        """Answer a reader of the bytes from `span[0]` up to `span[1]` of the same version."""
        return FileReader(self._held, span)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        start, end = self._span
        while start < end:
            stop = min(end, start + CHUNK_BYTES)
            chunk = await self._held.place.read(self._held, (start, stop))
            if not chunk:
                return
            yield chunk
            start += len(chunk)


class Files:
    """The noun `files`. Made without I/O; usable between `open` and `close`."""

    def __init__(self) -> None:
        self._folder: Folder | None = None
        self._place: Place | None = None
        self._signer: Signer | None = None
        self._max_mib = 0

    async def open(self, directory: Directory) -> None:
        """Open the folder of the directory, which is made when it is missing, and its bucket."""
        secret = await asyncio.to_thread(read_secret, directory.secret_file)
        self._signer = Signer(secret, "file URL")
        self._max_mib = directory.files.max_mib
        self._folder = Folder(directory.files.folder)
        await self._folder.open()
        self._place = self._folder
        if directory.files.servers or directory.files.url:
            await self._distribute(directory.files)

    async def follow(self, directory: Directory) -> None:
        """Take over where the servers are now. Where there were none, the change begins."""
        place = directory.files
        if (place.servers or place.url) and self._folder is not None:
            if isinstance(self._place, Both):
                self._place.bucket.servers.follow(place, await _secret(place))
            else:
                await self._distribute(place, changing=True)

    async def close(self) -> None:
        """Forget the places; nothing is held open."""
        place, self._place = self._place, None
        self._folder = self._signer = None
        if isinstance(place, Both):
            await place.close()

    async def _distribute(self, place: FilesPlace, *, changing: bool = False) -> None:
        """Go over to the bucket; while `changing`, only once it has answered."""
        assert self._folder is not None  # noqa: S101  # it was opened before
        servers = Servers(place, await _secret(place))
        both = Both(self._folder, Bucket(servers, Path(place.folder) / STAGING))
        if changing:
            both.await_bucket()
        self._place = both

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
        place = self._opened()
        bound = min(max_mib or self._max_mib, self._max_mib)
        source = Upload(_checked(name), content, int(bound * MIB))
        first = await source.first()
        kind = decide(source.head, claimed=content_type, accept=accept, name=name)
        return await place.put(source, first, kind)

    async def get(self, name: str, *, span: tuple[int, int] | None = None) -> FileReader:
        """Open `name` for reading, `span` (start, end) of it or the whole.

        Raise FileRefusedError when there is none.
        """
        held = await self._found(name)
        return FileReader(held, span or (0, held.about.size))

    async def read(self, name: str) -> bytes:
        """Answer the whole content of `name`. Raise FileRefusedError when there is none."""
        reader = await self.get(name)
        return b"".join([chunk async for chunk in reader])

    async def about(self, name: str) -> StoredFile:
        """Say what `name` is. Raise FileRefusedError when there is none."""
        return (await self._found(name)).about

    async def delete(self, name: str) -> bool:
        """Delete `name`; answer whether it was there."""
        return await self._opened().delete(_checked(name))

    def url(self, name: str, expires_s: int = 3600) -> str:
        """Answer a URL that gives out `name` for `expires_s` to twice that, to whoever has it.

        It stays the same for `expires_s` seconds, so that browsers can keep what they fetched.
        """
        _checked(name)
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

    async def _found(self, name: str) -> Held:
        held = await self._opened().find(_checked(name))
        if held is None:
            raise RefusedError(404, cannot=f"read {name}", because="there is no such file")
        return held

    def _opened(self) -> Place:
        if self._place is None:
            raise UnavailableError(
                cannot="use files",
                because="it is not open in this process",
                try_="wrap the application in Millions(app), or `async with nouns.running()`",
            )
        return self._place

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


async def _secret(place: FilesPlace) -> str:
    return (await asyncio.to_thread(read_secret, place.secret_file)).decode()
