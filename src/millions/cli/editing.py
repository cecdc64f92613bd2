"""Changes one value in a stack file; comments, order and line ends stay as they are.

It never decides what to write: the text after the change is read back by whoever asked for it.
Source: tomlkit, which keeps what a person wrote.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from millions.errors import StackFileError

if TYPE_CHECKING:
    from pathlib import Path

Value = bool | int | float | str


def set_value(path: Path, table: str | None, key: str, value: Value) -> str:
    """Write `key = value` into `[table]` (the top when None), made when missing (blocking).

    Answer the former text, for `put_back`. Raise StackFileError when the file cannot be changed.
    """
    former = text_of(path)
    put_back(path, changed(former, table, key, value, source=str(path)))
    return former


def changed(
    text: str, table: str | None, key: str, value: Value, *, source: str = "millions.toml"
) -> str:
    """Answer `text` with `key = value` in `[table]`. Raise StackFileError when it is not TOML."""
    try:
        document = tomlkit.parse(text)
        if table is None:
            document[key] = value
        elif table in document and isinstance(document[table], MutableMapping):
            cast("MutableMapping[str, Any]", document[table])[key] = value
        else:
            _append(document, table, key, value)
    except TOMLKitError as error:
        raise _refused(source, str(error)) from error
    return document.as_string()


def text_of(path: Path) -> str:
    """Read the file with its own line ends (blocking). Raise StackFileError."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(str(path), getattr(error, "strerror", None) or str(error)) from error


def put_back(path: Path, text: str) -> None:
    """Write `text` to the file whole or not at all (blocking); its owner and mode stay.

    A symbolic link stays one. Raise StackFileError when that is not possible.
    """
    real = path.resolve()
    fresh = real.with_name(f".{real.name}.{secrets.token_hex(6)}")
    try:
        status = real.stat()
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(text.encode())
                opened.flush()
                os.fchmod(file, status.st_mode & 0o7777)
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file, status.st_uid, status.st_gid)
                os.fsync(file)
            fresh.replace(real)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
    except OSError as error:
        raise _refused(str(path), error.strerror or str(error)) from error


def _append(document: tomlkit.TOMLDocument, table: str, key: str, value: Value) -> None:
    """Add a table at the end, one empty line after what stands there."""
    made = tomlkit.table()
    made[key] = value
    if document.as_string().strip():
        document.add(tomlkit.nl())
    document[table] = made


def _refused(source: str, because: str) -> StackFileError:
    return StackFileError(
        cannot=f"change {source}", because=because, try_="make the change by hand, then millions up"
    )
