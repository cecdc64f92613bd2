"""The account that units run as: PostgreSQL refuses root, and nothing else needs it.

Never creates an account; set-up does that.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("millions", "nobody")
"""Tried in this order when we are root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this machine, by numbers."""

    name: str
    uid: int
    gid: int


def unit_account() -> Account | None:
    """The account to become for units; None when we are not root, and units run as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    return None


def check_entry(account: Account | None, folder: Path) -> None:
    """Raise MachineError when `account` may not enter every folder on the way to `folder`."""
    if account is None:
        return
    for step in reversed(folder.parents):
        status = step.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            raise MachineError(
                cannot=f"run units as user {account.name} below {folder}",
                because=f"that user may not enter {step}",
                try_=f"chmod o+x {step}, or set MILLIONS_HOME to a folder that others may enter",
            )
