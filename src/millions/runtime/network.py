"""Network numbers: each stack on this machine has 127.N.x.y for itself.

A number is claimed by a file in a folder that every user of the machine shares, so that stacks of
several users and several state roots do not meet. Never moves a number that was given out.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Generator

CLAIMS = Path("/tmp/millions-networks")  # noqa: S108  # shared on purpose; checked before use
"""One file a number, whose content is the path of the state folder that holds it."""

FRESH_S = 60.0
"""A claim this young holds although its folder has no `stack.json` yet: that comes next."""

LOCKED_WITHIN_S = 5.0
NUMBERS = 250
"""127.1.x.y to 127.250.x.y; 127.0.x.y is the machine's own."""


def claim(folder: Path) -> int:
    """Claim a number for the stack in `folder` (blocking). Raise MachineError when none is left."""
    _open_claims()
    with _locked():
        return _claimed(folder)


def _claimed(folder: Path) -> int:
    first = int.from_bytes(hashlib.sha256(str(folder).encode()).digest()[:4], "big")
    numbers = [(first + step) % NUMBERS + 1 for step in range(NUMBERS)]
    listening = _listening()
    for number in numbers:
        if number not in listening and _take(number, folder):
            return number
    for number in numbers:  # every number is claimed: share one whose stack does not run
        if number not in listening:
            return number
    raise MachineError(
        cannot=f"give the stack {folder.name} addresses of its own",
        because=f"all of 127.1.x.y to 127.{NUMBERS}.x.y have somebody listening",
        try_="millions down in a stack that is not needed",
    )


def _open_claims() -> None:
    try:
        CLAIMS.mkdir(mode=0o700)
        CLAIMS.chmod(0o1777)
    except FileExistsError:
        if not stat.S_ISDIR(CLAIMS.lstat().st_mode):
            raise MachineError(
                cannot="give the stack addresses of its own",
                because=f"{CLAIMS} is not a folder",
                try_=f"rm {CLAIMS}",
            ) from None


@contextmanager
def _locked() -> Generator[None]:
    """Hold the claims, so that no two take over one that is stale; not for ever, if one hangs."""
    claims = os.open(CLAIMS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    until_s = time.monotonic() + LOCKED_WITHIN_S
    try:
        while time.monotonic() < until_s:
            try:
                fcntl.flock(claims, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.01)
        yield
    finally:
        os.close(claims)


def _take(number: int, folder: Path) -> bool:
    """Claim `number`; True when it is ours now. A claim whose stack is gone is taken over."""
    path = CLAIMS / str(number)
    for _attempt in range(2):
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            if not _release_stale(path, folder):
                return False
            continue
        except OSError:
            return False
        with os.fdopen(file, "w") as claimed:
            claimed.write(str(folder))
        return True
    return False


def _release_stale(path: Path, folder: Path) -> bool:
    """Remove a claim whose stack is gone or is `folder` itself; True when it was removed."""
    try:
        holder = Path(path.read_text(encoding="utf-8"))
        is_fresh = 0.0 <= time.time() - path.stat().st_mtime < FRESH_S
        lives = _exists(holder / "stack.json") or (is_fresh and _exists(holder))
        if holder != folder and lives:
            return False
        path.unlink()
    except (OSError, ValueError):
        return False
    return True


def _exists(path: Path) -> bool:
    """Whether `path` is there; what may not be looked at counts as there."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _listening() -> frozenset[int]:
    """The second octets of all 127.N.x.y that somebody listens on (from /proc/net/tcp)."""
    found: set[int] = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        octets = int(fields[1].split(":")[0], 16).to_bytes(4, "little")
        if fields[3] == "0A" and octets[0] == 127:  # noqa: PLR2004  # LISTEN on loopback
            found.add(octets[1])
    return frozenset(found)
