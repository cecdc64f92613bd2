"""The directory of a process that belongs to no stack: a script, a notebook, a development server.

It writes only below one folder of its own, and only what a stack would have written: a secret and
the database's password, both readable by their owner alone.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from millions import directory
from millions.directory import (
    AssetsPlace,
    DatabasePlace,
    Directory,
    Endpoint,
    FilesPlace,
    Shard,
)
from millions.errors import DirectoryError, MachineError

URL_VARIABLE = "MILLIONS_DATABASE_URL"
FOLDER_VARIABLE = "MILLIONS_EMBEDDED"
"""Names the folder for uploads and secrets; default: `millions/embedded` in the state home."""

ASSETS_VARIABLE = "MILLIONS_ASSETS"
"""Names a folder of built assets."""


def find() -> Directory:
    """Answer the directory that the environment names, else the embedded defaults.

    Blocking. Raise DirectoryError when neither $MILLIONS_DIRECTORY nor $MILLIONS_DATABASE_URL is
    set.
    """
    path = os.environ.get(directory.ENVIRONMENT_VARIABLE)
    return directory.read(path) if path else _defaults(os.environ.get(URL_VARIABLE, ""))


def _defaults(url: str) -> Directory:
    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    if not parts.scheme.startswith("postgres") or not parts.hostname or not name:
        raise DirectoryError(
            cannot="find the stack that this process belongs to",
            because=f"{directory.ENVIRONMENT_VARIABLE} is not set, and {URL_VARIABLE} is "
            + (f"no PostgreSQL URL ({parts.scheme}://…)" if url else "not set either"),
            try_=f"`millions run …`, or {URL_VARIABLE}=postgresql://user:password@host:5432/name",
        )
    folder = _folder()
    primary = Endpoint(host=parts.hostname, port=parts.port or 5432)
    password = unquote(parts.password or "")
    return Directory(
        epoch=0,
        stack="embedded",
        release="",
        secret_file=str(_written(folder / "secret", None)),
        database=DatabasePlace(
            shards=(Shard(name="s0", primary=primary),),
            name=name,
            user=unquote(parts.username or "postgres"),
            password_file=str(_written(folder / f"password-{os.getuid()}", password)),
            tls=True,
        ),
        files=FilesPlace(folder=str(folder / "files")),
        assets=AssetsPlace(folder=os.environ.get(ASSETS_VARIABLE, "")),
    )


def _folder() -> Path:
    chosen = os.environ.get(FOLDER_VARIABLE)
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(chosen) if chosen else Path(home) / "millions" / "embedded"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(
            cannot=f"make the folder {folder}",
            because=error.strerror or str(error),
            try_=f"{FOLDER_VARIABLE}=/a/folder/that/you/own",
        ) from error
    return folder


def _written(path: Path, content: str | None) -> Path:
    """Write `content` for the owner alone; without it, a random secret that is kept."""
    if content is None and path.exists():
        return path
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) if content is None else content)
    fresh.replace(path)
    return path
