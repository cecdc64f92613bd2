"""What is being uploaded: counted, hashed and bounded while it flows into a staging area.

It holds a megabyte or two at once, and puts nothing under its name before it is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import obstore

from millions.sdk.files_types import HEAD_BYTES, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator
    from typing import BinaryIO

    from obstore.store import LocalStore

MIB = 1024 * 1024
CHUNK_BYTES = MIB
"""What is read and written at once."""

CHUNK_WITHIN_S = 120.0
"""A client that sends no more for so long has gone away."""

STAGING = "staging"
"""Where uploads grow; what a crash left there is deleted after LEFT_S."""

LEFT_S = 86_400.0


class Upload:
    """One upload of `name`; `head` and `size` grow with it, `ended` says that all was taken.

    `error` is what whoever gives the content has raised, which is no failure of ours.
    """

    def __init__(self, name: str, content: bytes | AsyncIterable[bytes], bound: int) -> None:
        self.name = name
        self._bound = bound
        self._digest = hashlib.sha256()
        self._chunks = _once(content) if isinstance(content, bytes | bytearray) else aiter(content)
        self.size = 0
        self.head = b""
        self.ended = False
        self.error: BaseException | None = None

    async def first(self) -> bytes:
        """Take enough to tell the type; all of it when it is short."""
        taken = await self._take(CHUNK_BYTES)
        self.head = taken[:HEAD_BYTES]
        return taken

    def rest(self, first: bytes, loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
        """Give everything, `first` first, to a thread that asks for it."""
        yield first
        while not self.ended:
            asked = asyncio.run_coroutine_threadsafe(self._take(CHUNK_BYTES), loop)
            taken = asked.result(CHUNK_WITHIN_S)
            if taken:
                yield taken

    async def next(self) -> bytes:
        """Take a megabyte or what is left."""
        return await self._take(CHUNK_BYTES)

    def etag(self) -> str:
        """Answer what names this content, once all of it was taken."""
        return self._digest.hexdigest()[:32]

    async def _take(self, least: int) -> bytes:
        taken: list[bytes] = []
        length = 0
        while length < least:
            try:
                chunk = bytes(await anext(self._chunks))
            except StopAsyncIteration:
                self.ended = True
                break
            except BaseException as error:
                self.error = error
                raise
            length += len(chunk)
            self._count(chunk)
            taken.append(chunk)
        return b"".join(taken)

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._bound:
            raise RefusedError(
                413,
                cannot=f"store {self.name}",
                because=f"it is larger than {self._bound / MIB:g} MiB",
                try_="a smaller file, or a larger [files] max_mib in millions.toml",
            )
        self._digest.update(chunk)


async def _once(content: bytes | bytearray) -> AsyncIterator[bytes]:
    yield bytes(content)


def put_staged(store: LocalStore, path: str, chunks: Iterator[bytes]) -> None:
    """Write `chunks` aside, then put them at `path` in one step."""
    staged = f"{STAGING}/{uuid4().hex}"
    obstore.put(store, staged, chunks)
    obstore.rename(store, staged, path)


async def spooled(source: Upload, first: bytes, folder: Path) -> BinaryIO:
    """Take all of `source` to a file without a name in `folder`, which goes when it is closed."""
    file = await asyncio.to_thread(_nameless, folder)
    try:
        await asyncio.to_thread(file.write, first)
        while not source.ended:
            async with asyncio.timeout(CHUNK_WITHIN_S):
                taken = await source.next()
            await asyncio.to_thread(file.write, taken)
        await asyncio.to_thread(file.flush)
    except BaseException:
        file.close()
        raise
    return file


def _nameless(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True)
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def sweep_staged(store: LocalStore) -> None:
    """Delete what crashes left in the staging area long ago."""
    folder = Path(str(store.prefix)) / STAGING
    if folder.is_dir():
        for each in folder.iterdir():
            if each.stat().st_mtime < time.time() - LEFT_S:
                each.unlink(missing_ok=True)
