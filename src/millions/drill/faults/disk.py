"""A full disk: a file that takes all room of the small file system of a throw-away stack.

Only there: the stage's folder is a tmpfs of its own, so that nothing else on the machine meets the
end of its disk. It needs the right to mount.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from millions.drill.faults.scene import Scene

SIZE_MIB = 1_536
"""Three members of a database with their WAL need about 800 MiB."""

BLOCK_BYTES = 1 << 20
WITHIN_S = 10.0
FILE = "filler"


async def fill(scene: Scene) -> str:
    """Write a file until there is no room; it is removed at the end."""
    home = scene.stage.home
    if home is None or not await asyncio.to_thread(os.path.ismount, home.parent):
        raise MachineError(
            cannot="fill the disk",
            because="it is the disk of everything else on this machine too",
            try_="millions drill run disk-full as root, which makes a small disk of its own",
        )
    file = home.parent / FILE
    scene.hold.push_async_callback(asyncio.to_thread, file.unlink, missing_ok=True)
    written = await asyncio.to_thread(_fill, file)
    return f"{written >> 20} MiB written"


def mount(folder: Path) -> None:
    """Make the folder a small file system of its own (blocking). Raise MachineError."""
    if os.geteuid() != 0:
        raise MachineError(
            cannot="make a small disk",
            because=f"user number {os.geteuid()} may not mount",
            try_="sudo millions drill run disk-full",
        )
    _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=755", "millions-drill", str(folder))


def unmount(folder: Path) -> None:
    """Take it away again (blocking); none is well."""
    if os.path.ismount(folder):
        _run("umount", "-l", str(folder))


def _fill(file: Path) -> int:
    """Write blocks, then bytes, until the disk is full; answer how many bytes."""
    written = 0
    block = b"\0" * BLOCK_BYTES
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while len(block):
            try:
                written += filler.write(block)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                block = block[: len(block) // 2]
    return written


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    if ran.returncode:
        raise MachineError(
            cannot=f"run {' '.join(command)}",
            because=ran.stderr.strip() or f"exit status {ran.returncode}",
            try_="as root, outside of a container that forbids it",
        )
