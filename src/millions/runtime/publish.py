"""What the stack's units read: the directory document and the secrets.

A secret is made once and never changed, printed or logged. The directory's epoch rises with every
change of what it says.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import string
from typing import TYPE_CHECKING

from millions import directory as directories
from millions.errors import DirectoryError
from millions.runtime import files

if TYPE_CHECKING:
    from millions.directory import Directory
    from millions.model import Certificate
    from millions.runtime.state import StateFolder

SECRET_LETTERS = 45
"""256 bits. Letters alone: HAProxy and NATS take a value that begins with `-` for an option or a
number, and do not start."""


def make_secrets(state: StateFolder, names: tuple[str, ...]) -> None:
    """Make each secret that is missing (blocking). OSError when that cannot be."""
    for name in names:
        path = state.secrets / name
        if not os.path.lexists(path):
            text = "".join(secrets.choice(string.ascii_letters) for _ in range(SECRET_LETTERS))
            files.write(path, text + "\n", owner=state.account)


def make_certificates(state: StateFolder, wanted: tuple[Certificate, ...]) -> None:
    """Make each certificate that is missing or old (blocking). StateError, OSError as there."""
    if wanted:
        # 10 MB that a stack without certificates does not pay for
        from millions.runtime import certificates  # noqa: PLC0415

        certificates.make(state, wanted)


def write_directory(state: StateFolder, wanted: Directory) -> int:
    """Write the directory where it says something new (blocking); returns its epoch."""
    former = _former(state)
    if former is None:
        published = wanted
    elif dataclasses.replace(wanted, epoch=former.epoch) == former:
        return former.epoch
    else:
        published = dataclasses.replace(wanted, epoch=max(former.epoch + 1, wanted.epoch))
    files.write(state.directory, published.text(), owner=state.account)
    return published.epoch


def _former(state: StateFolder) -> Directory | None:
    """What was published last; None when there is nothing that can be read."""
    try:
        return directories.read(state.directory)
    except DirectoryError:
        return None
