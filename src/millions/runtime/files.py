"""Files and folders of the state folder: written whole or not at all, owned as they must be.

Never follows a symbolic link that a unit's own user could have planted: whole paths below a folder
which that user may write are opened one step at a time.

Source: rename(2), RENAME_EXCHANGE in renameat2(2).
"""

from __future__ import annotations

import ctypes
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.runtime.account import Account

ROOM_BYTES = 16 * 1024
"""Files that are exchanged grow in steps of this size."""

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_RENAMEAT2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(
    path: Path, content: str | bytes, *, mode: int = 0o600, owner: Account | None = None
) -> None:
    """Write `content` to `path` atomically and durably (blocking). OSError leaves the old file."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write_at(folder, path.name, content, mode=mode, owner=owner)
    finally:
        os.close(folder)


def write_at(
    folder: int,
    name: str,
    content: str | bytes,
    *,
    mode: int = 0o600,
    owner: Account | None = None,
    durable: bool = True,
) -> None:
    """Write `name` in the open folder: a new file, fsync, rename over the old, fsync the folder."""
    data = content.encode() if isinstance(content, str) else content
    temporary = f".{name}.{secrets.token_hex(6)}"
    file = os.open(temporary, _CREATE, mode, dir_fd=folder)
    try:
        try:
            _fill(file, data)
            os.fchmod(file, mode)
            if owner is not None:
                os.fchown(file, owner.uid, owner.gid)
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
    if durable:
        os.fsync(folder)


def exchange(path: Path, content: str) -> None:
    """Write `content` to `path` atomically in room that it holds already (blocking).

    There are two files of one size, padded with blanks, which change places: so what was said last
    can be replaced when the disk is full. The first write needs room, and longer content does.
    """
    data = content.encode()
    size = max(-(-len(data) // ROOM_BYTES) * ROOM_BYTES, _size(path))
    spare = path.with_name(f".{path.name}.spare")
    file = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, size)
        _fill(file, data.ljust(size))
        os.ftruncate(file, size)
    finally:
        os.close(file)
    if _exchange(spare, path):
        return
    spare.rename(path)


def write_below(root: Path, name: str, content: str, *, mode: int, owner: Account | None) -> None:
    """Write the file `name` (a relative path) below `root`, making folders, following no link."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ValueError(f"{name!r} is not a path inside the unit's folder")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = _step(folder, part, owner)
            os.close(folder)
            folder = inner
        write_at(folder, parts[-1], content, mode=mode, owner=owner, durable=False)
    finally:
        os.close(folder)


def make_folder(path: Path, *, mode: int = 0o700, owner: Account | None = None) -> Path:
    """Make `path` (its parent must exist) with this mode and owner; mend those of an old one."""
    path.mkdir(mode=mode, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(folder)
        if owner is not None and (status.st_uid, status.st_gid) != (owner.uid, owner.gid):
            os.fchown(folder, owner.uid, owner.gid)
        if status.st_mode & 0o7777 != mode:
            os.fchmod(folder, mode)
    finally:
        os.close(folder)
    return path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _exchange(one: Path, two: Path) -> bool:
    """Let two files change places; False where one is missing or the system cannot do that."""
    if _RENAMEAT2 is None or not two.exists():
        return False
    names = (os.fsencode(one), os.fsencode(two))
    return bool(_RENAMEAT2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def _step(folder: int, name: str, owner: Account | None) -> int:
    """Open the folder `name` in `folder`, made when missing. A symbolic link is refused."""
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
        made = True
    except FileExistsError:
        made = False
    inner = os.open(
        name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
    )
    if made and owner is not None:
        os.fchown(inner, owner.uid, owner.gid)
    return inner


def _fill(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
