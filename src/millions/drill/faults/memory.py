"""Full memory: chosen processes get no more address space than they have at this moment.

The kernel then refuses what they ask for, as it does when a machine's memory is full, and nothing
else on the machine is touched. It lowers the soft limit only, which needs no right and can be
raised again up to the hard one. A process that frees and takes the same pages again goes on.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millions.drill.faults import aim as aims
from millions.errors import MachineError
from millions.runtime import processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.drill.faults.scene import Scene
    from millions.runtime.processes import Identity

PAGE_BYTES = resource.getpagesize()
WITHIN_S = 10.0


async def fill(scene: Scene) -> str:
    """Let everything that is meant have no more memory; what still lives may again at the end.

    Raise MachineError when none of it runs, or its limits may not be changed.
    """
    aim = await asyncio.to_thread(aims.find, scene.stage, scene.step.aim)
    members = await asyncio.to_thread(aims.members, scene.stage, aim)
    if not members:
        raise MachineError(
            cannot=f"fill the memory of {aim}",
            because="nothing of it runs",
            try_="millions status",
        )
    scene.hold.push_async_callback(asyncio.to_thread, give_back, members)
    scene.strike()
    held = await asyncio.to_thread(_hold, members)
    return f"{aim}: {len(held)} processes of {sum(held) >> 20} MiB of addresses"


def give_back(members: Iterable[Identity]) -> None:
    """Let them, and what they have started since, have what their hard limit allows (blocking)."""
    for each in members:
        if processes.identify(each.pid) != each:
            continue
        for pid in (each.pid, *processes.descendants(each.pid)):
            with suppress(OSError, MachineError):
                _limit(pid, _hard(pid))


def _hold(members: Iterable[Identity]) -> list[int]:
    """Lower the limits; answer the bytes that each process holds."""
    held: list[int] = []
    for each in members:
        with suppress(FileNotFoundError, ProcessLookupError):
            pages = Path(f"/proc/{each.pid}/statm").read_text(encoding="ascii").split()[0]
            _limit(each.pid, str(int(pages) * PAGE_BYTES))
            held.append(int(pages) * PAGE_BYTES)
    return held


def _hard(pid: int) -> str:
    """The hard limit of addresses, which anybody may read."""
    for line in Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines():
        if line.startswith("Max address space"):
            return line.split()[4]
    return "unlimited"


def _limit(pid: int, soft: str) -> None:
    """Set the soft limit of addresses, as the user whose process it is.

    A process of another user needs a capability that root lacks in most containers.
    """
    owner = Path(f"/proc/{pid}").stat()
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    try:
        ran = subprocess.run(
            ["prlimit", "--pid", str(pid), f"--as={soft}:"],
            **identity,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_limited(pid, str(error)) from error
    if ran.returncode and Path(f"/proc/{pid}").exists():
        raise _not_limited(pid, ran.stderr.strip() or f"exit status {ran.returncode}")


def _not_limited(pid: int, because: str) -> MachineError:
    return MachineError(
        cannot=f"limit the memory of process {pid}",
        because=because,
        try_="as root, or as the user that the stack runs as; prlimit is in util-linux",
    )
