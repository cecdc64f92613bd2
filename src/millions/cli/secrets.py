"""The application's own secrets: read from where the stack file refers to, kept in secret files.

A changed secret gets a new file, so that the units that use it are seen to have changed. Never
prints a value.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from millions.errors import StackFileError
from millions.runtime import files

if TYPE_CHECKING:
    from pathlib import Path

    from millions.cli.opened import Opened
    from millions.settings.app import SecretReference

BYTES_MAX = 65_536
"""A secret becomes an environment variable, and the kernel bounds those at 128 KiB."""

KEPT = 3
"""Former versions of a secret that stay, for releases that may come back."""


def secret_files(opened: Opened) -> tuple[tuple[str, str], ...]:
    """Answer the file name of each secret, written when its value is new. Raise StackFileError."""
    secrets = opened.stack.app.secrets
    return tuple((name, _kept(opened, name, secrets[name])) for name in sorted(secrets))


def _kept(opened: Opened, name: str, reference: SecretReference) -> str:
    value = _value(opened, name, reference)
    folder = opened.state.secrets
    versions = _versions(folder, name)
    if versions and (folder / _file(name, versions[-1])).read_text(encoding="utf-8") == value:
        return _file(name, versions[-1])
    fresh = _file(name, versions[-1] + 1 if versions else 1)
    files.write(folder / fresh, value, owner=opened.state.account)
    for old in versions[:-KEPT]:
        (folder / _file(name, old)).unlink(missing_ok=True)
    return fresh


def _value(opened: Opened, name: str, reference: SecretReference) -> str:
    if reference.env:
        found = os.environ.get(reference.env, "")
        if not found:
            raise _error(name, f"the variable {reference.env} is not set", f"{reference.env}=…")
        return found
    path = opened.file.parent / reference.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _error(name, f"{path}: {error.strerror}", f"write the secret to {path}") from error
    text = content[: BYTES_MAX + 1].decode("utf-8", errors="replace").strip()
    if not text or len(content) > BYTES_MAX or "\0" in text:
        said = f"{path} is empty, not a text, or over {BYTES_MAX} bytes"
        raise _error(name, said, f"write the secret to {path}")
    return text


def _error(name: str, because: str, try_: str) -> StackFileError:
    return StackFileError(cannot=f"read the secret {name}", because=because, try_=try_)


def _versions(folder: Path, name: str) -> list[int]:
    pattern = re.compile(rf"app\.{re.escape(name)}\.(\d+)")
    found = (pattern.fullmatch(path.name) for path in folder.glob(f"app.{name}.*"))
    return sorted(int(each[1]) for each in found if each)


def _file(name: str, version: int) -> str:
    return f"app.{name}.{version}"
