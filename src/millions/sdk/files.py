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
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from millions.errors import SignatureError, UnavailableError
from millions.sdk.files_back import Back
from millions.sdk.files_both import Both
from millions.sdk.files_bucket import Bucket
from millions.sdk.files_folder import Folder
from millions.sdk.files_guard import Guard, Kind, Mode
from millions.sdk.files_moving import Moving
from millions.sdk.files_servers import Servers
from millions.sdk.files_types import RefusedError, decide
from millions.sdk.files_upload import CHUNK_BYTES, MIB, STAGING, Upload, staged
from millions.sdk.signing import Signer, read_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

    from millions.directory import Directory, FilesPlace
    from millions.sdk.files_place import Held, Place, StoredFile
    from millions.sdk.store.rows import PoolSource

    Find = Callable[[str], Awaitable[Held | None]]

NAME_BYTES_MAX = 512
PART_BYTES_MAX = 255
"""Of a part between slashes: what a file's name on a disk may have."""

SURROGATES = ("\ud800", "\udfff")
BASE_URL = "/files/"


class Told(Protocol):
    """Who keeps what was given out, and hears when it is no more what is there."""

    @property
    def present(self) -> bool:
        """Whether there is anybody to be told."""
        ...

    async def replaced(self, url: str) -> None:
        """Forget what was at `url`, whatever its query."""
        ...


class FileReader:
    """A file that is being read: what it is, and its bytes as an async iterator of chunks."""

    def __init__(self, held: Held, span: tuple[int, int], find: Find) -> None:
        self.about = held.about
        self.size = held.about.size
        self.content_type = held.about.content_type
        self._held = held
        self._span = span
        self._find = find

    def part(self, span: tuple[int, int]) -> FileReader:
        """Answer a reader of the bytes from `span[0]` up to `span[1]` of the same version."""
        return FileReader(self._held, span, self._find)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        start, end = self._span
        while start < end:
            chunk = await self._read((start, min(end, start + CHUNK_BYTES)))
            if not chunk:
                return
            yield chunk
            start += len(chunk)

    async def _read(self, span: tuple[int, int]) -> bytes:
        """Read a part; from where the same version is now when it has moved."""
        try:
            return await self._held.place.read(self._held, span)
        except (FileNotFoundError, UnavailableError) as error:
            moved = await self._find(self.about.name)
            if moved is None or moved.about != self.about:
                raise UnavailableError(
                    cannot=f"go on reading {self.about.name}",
                    because="it was replaced or deleted meanwhile",
                    try_="read it again",
                ) from error
            self._held = moved
            return await moved.place.read(moved, span)


class Files:
    """The noun `files`. Made without I/O; usable between `open` and `close`."""

    def __init__(self, database: PoolSource | None = None) -> None:
        self.base_url = BASE_URL
        self._database = database
        self._folder: Folder | None = None
        self._place: Place | None = None
        self._bucket: Bucket | None = None
        self._guard: Guard | None = None
        self._moving: Moving | None = None
        self._signer: Signer | None = None
        self._told: Told | None = None
        self._max_mib = 0

    def tell(self, told: Told) -> None:
        """Let `told` hear of each file that was replaced or deleted, by its URL without the key."""
        self._told = told

    async def open(self, directory: Directory) -> None:
        """Open the folder of the directory, which is made when it is missing, and its bucket."""
        secret = await asyncio.to_thread(read_secret, directory.secret_file)
        self._signer = Signer(secret, "file URL")
        self._max_mib = directory.files.max_mib
        self.base_url = directory.edge.base_url + BASE_URL
        self._folder = Folder(directory.files.folder)
        await self._folder.open()
        await self._live(directory)

    async def follow(self, directory: Directory) -> None:
        """Take over where files live now. Where that is another place, the change begins."""
        self.base_url = directory.edge.base_url + BASE_URL
        if self._folder is None or self._guard is None:
            return
        kind = _kind(directory.files)
        if kind != self._guard.mode.kind:
            await self._live(directory, changing=kind is Kind.BUCKET)
        elif self._bucket is not None and kind is not Kind.FOLDER:
            self._bucket.servers.follow(directory.files, await _secret(directory.files))

    async def close(self) -> None:
        """Forget the places; nothing is held open."""
        await self._leave()
        bucket, self._bucket = self._bucket, None
        self._place = self._folder = self._signer = self._guard = None
        if bucket is not None:
            bucket.servers.close()

    async def _live(self, directory: Directory, *, changing: bool = False) -> None:
        """Go over to where files live; while `changing`, to a bucket that has answered only."""
        assert self._folder is not None  # noqa: S101  # it was opened before
        files, mode = directory.files, Mode(epoch=directory.epoch, kind=_kind(directory.files))
        place: Place = self._folder
        if mode.kind is not Kind.FOLDER:
            bucket = await self._known_bucket(files)
            place = (Both if mode.kind is Kind.BUCKET else Back)(self._folder, bucket)
            if changing and isinstance(place, Both):
                place.await_bucket()
        await self._leave()
        self._place = place
        if self._guard is None:
            self._guard = Guard(Path(files.folder), mode)
        self._guard.mode = mode
        if self._database is not None and isinstance(place, Both | Back):
            self._moving = Moving(self._database, self._guard, place)
            self._moving.start()

    async def _known_bucket(self, place: FilesPlace) -> Bucket:
        secret = await _secret(place)
        if self._bucket is None:
            self._bucket = Bucket(Servers(place, secret))
        else:
            self._bucket.servers.follow(place, secret)
        return self._bucket

    async def _leave(self) -> None:
        """Stop what runs beside the place; reads and writes under way go on there."""
        moving, self._moving = self._moving, None
        if moving is not None:
            await moving.stop()
        if isinstance(self._place, Both | Back):
            await self._place.close()

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
        guard = self._guarded()
        bound = min(max_mib or self._max_mib, self._max_mib)
        source = Upload(_checked(name), content, int(bound * MIB))
        first = await source.first()
        kind = decide(source.head, claimed=content_type, accept=accept, name=name)
        async with staged(source, first, kind, guard.folder / STAGING) as upload:
            async with guard.writing(name):
                place = self._opened()
                replaces = self._is_told() and await place.find(name) is not None
                stored = await place.put(upload)
            if replaces:
                await self._say_replaced(name)
        return stored

    async def get(self, name: str, *, span: tuple[int, int] | None = None) -> FileReader:
        """Open `name` for reading, `span` (start, end) of it or the whole.

        Raise FileRefusedError when there is none.
        """
        held = await self._found(name)
        return FileReader(held, span or (0, held.about.size), self._find)

    async def read(self, name: str) -> bytes:
        """Answer the whole content of `name`. Raise FileRefusedError when there is none."""
        reader = await self.get(name)
        return b"".join([chunk async for chunk in reader])

    async def about(self, name: str) -> StoredFile:
        """Say what `name` is. Raise FileRefusedError when there is none."""
        return (await self._found(name)).about

    async def delete(self, name: str) -> bool:
        """Delete `name`; answer whether it was there."""
        async with self._guarded().writing(_checked(name)):
            was_there = await self._opened().delete(name)
        if was_there:
            await self._say_replaced(name)
        return was_there

    def url(self, name: str, expires_s: int = 3600, *, version: str = "") -> str:
        """Answer a URL that gives out `name` for `expires_s` to twice that, to whoever has it.

        It stays the same for `expires_s` seconds, so that browsers can keep what they fetched.
        `version` is the `etag` of what is stored: with another one the URL is another, so that
        nobody is shown what was replaced, and browsers do not ask again for what they have.
        Where there is a delivery network it is a URL there; what is signed is the name alone.
        """
        _checked(name)
        expires = (math.floor(time.time() / expires_s) + 2) * expires_s
        key = self._signed().sign(f"{expires}:{name}".encode())
        versioned = f"&v={quote(version, safe='')}" if version else ""
        return f"{self.base_url}{quote(name)}?key={key}{versioned}"

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
        held = await self._find(_checked(name))
        if held is None:
            raise RefusedError(
                404,
                cannot=f"read {name}",
                because="there is no such file",
                try_="the name that it was stored under",
            )
        return held

    async def _find(self, name: str) -> Held | None:
        """Find it; what is missing may be in a place that this process is about to hear of."""
        place = self._opened()
        held = await place.find(name)
        while held is None:
            await self._guarded().current()
            former, place = place, self._opened()
            if place is former:
                break
            held = await place.find(name)
        return held

    def _is_told(self) -> bool:
        return self._told is not None and self._told.present

    async def _say_replaced(self, name: str) -> None:
        if self._told is not None:
            await self._told.replaced(f"{BASE_URL}{quote(name)}")

    def _guarded(self) -> Guard:
        self._opened()
        assert self._guard is not None  # noqa: S101  # opened together
        return self._guard

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
    if any(SURROGATES[0] <= each <= SURROGATES[1] for each in name):
        because = "it holds half of a pair (a surrogate), which is no character"
    elif not name or len(name.encode()) > NAME_BYTES_MAX:
        because = f"names have 1 to {NAME_BYTES_MAX} bytes"
    elif any(len(each.encode()) > PART_BYTES_MAX for each in segments):
        because = f"each part between slashes has at most {PART_BYTES_MAX} bytes"
    elif any(each in {"", ".", ".."} or each.startswith(".") for each in segments):
        because = "each part between slashes must begin with something other than a dot"
    elif any(ord(each) < 0x20 or each in '\\\x7f#%*?"<>|^`{}[]~' for each in name):  # noqa: PLR2004  # ASCII control characters
        because = "it holds a character that is not safe in paths"
    if because:
        raise RefusedError(
            400, cannot=f"use the file name {name[:80]!r}", because=because, try_="2026/photo-7.jpg"
        )
    return name


def _kind(place: FilesPlace) -> Kind:
    if place.former or place.former_urls:
        return Kind.BACK
    return Kind.BUCKET if place.servers or place.url else Kind.FOLDER


async def _secret(place: FilesPlace) -> str:
    return (await asyncio.to_thread(read_secret, place.secret_file)).decode()
