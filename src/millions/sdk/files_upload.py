"""What is being uploaded: counted, hashed and bounded while it flows into a staging area.

It holds a megabyte or two at once, and puts nothing under its name before it is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from millions.errors import MachineError
from millions.sdk.files_place import StoredFile
from millions.sdk.files_types import HEAD_BYTES, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An upload that was taken whole: in memory when it is small, else at `path`, in a folder."""

    about: StoredFile
    content: bytes = b""
    path: Path | None = None


@asynccontextmanager
async def staged(
    source: Upload, first: bytes, content_type: str, folder: Path
) -> AsyncGenerator[Staged]:
    """Take all of `source`, a large one into `folder`; what is left there goes at the end."""
    path = None if source.ended else folder / uuid4().hex
    try:
        if path is not None:
            await _spool(source, first, path)
        about = StoredFile(
            name=source.name, size=source.size, content_type=content_type, etag=source.etag()
        )
        yield Staged(about=about, content=first if path is None else b"", path=path)
    finally:
        if path is not None:
            await asyncio.to_thread(path.unlink, missing_ok=True)


async def _spool(source: Upload, first: bytes, path: Path) -> None:
    file: BinaryIO | None = None
    try:
        file = await asyncio.to_thread(_made, path)
        await asyncio.to_thread(file.write, first)
        while not source.ended:
            async with asyncio.timeout(CHUNK_WITHIN_S):
                taken = await source.next()
            await asyncio.to_thread(file.write, taken)
        await asyncio.to_thread(file.flush)
    except TimeoutError:
        raise  # the client went away
    except OSError as error:
        if error is source.error:
            raise
        raise no_room(source.name, error) from error
    finally:
        if file is not None:
            with suppress(OSError):
                file.close()


def _made(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def no_room(name: str, error: Exception) -> MachineError:
    """Answer the error for a file that this machine's disk did not take."""
    return MachineError(
        cannot=f"store {name}",
        because=str(error).partition("\n")[0],
        try_="df -h, then make room on the disk",
    )


def sweep_staged(store: LocalStore) -> None:
    """Delete what crashes left in the staging area long ago."""
    folder = Path(str(store.prefix)) / STAGING
    if folder.is_dir():
        for each in folder.iterdir():
            if each.stat().st_mtime < time.time() - LEFT_S:
                each.unlink(missing_ok=True)
