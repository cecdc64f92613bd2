"""What this machine has and lacks, per rung. Looks only: it installs and changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from millions import rungs
from millions.cli import engines
from millions.errors import MillionsError
from millions.runtime.account import check_entry, unit_account
from millions.runtime.state import state_root
from millions.tiers import tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millions.tiers.kind import EngineNeed

FREE_MIB_MIN = 1024
"""A fresh database takes 60 MiB, its WAL up to 1 GiB more under load."""

MEMORY_MIB_MIN = 1024
ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked for. `mend` is the command or edit that brings it."""

    rung: int
    what: str
    found: bool
    said: str
    mend: str = ""


def findings() -> Iterator[Finding]:
    """Look for everything, rung by rung."""
    for check in (_system, _python, _account, _engines, _addresses, _room, _memory):
        yield from check()
    asked = {need.program for tier in tiers() for need in tier.needs}
    for rung in rungs.RUNGS:
        for program in rung.programs:
            if program.name in asked:
                continue
            place = engines.which(program.name)
            yield Finding(
                rung=rung.number,
                what=program.name,
                found=place is not None,
                said=place or "not found",
                mend="" if place else program.install,
            )


def _system() -> Iterator[Finding]:
    said = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding(
        rung=1, what="system", found=sys.platform == "linux", said=said, mend="a Linux machine"
    )


def _python() -> Iterator[Finding]:
    account = unit_account()
    said = f"{platform.python_version()} ({sys.executable})"
    if account is None:
        yield Finding(rung=1, what="python", found=True, said=said)
        return
    try:
        subprocess.run(
            [sys.executable, "-I", "-c", "import millions"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=ANSWER_WITHIN_S,
            check=True,
        )
        yield Finding(rung=1, what="python", found=True, said=said)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(
            rung=1,
            what="python",
            found=False,
            said=f"{said}: user {account.name} cannot run it ({type(error).__name__})",
            mend="an interpreter outside of root's home: MILLIONS_PYTHON=/usr/bin/python3 make up",
        )


def _account() -> Iterator[Finding]:
    if os.geteuid() != 0:
        yield Finding(rung=1, what="user", found=True, said="units run as you; no root needed")
        return
    account = unit_account()
    yield Finding(
        rung=1,
        what="user",
        found=account is not None,
        said=f"units run as {account.name}" if account else "nobody to run units as",
        mend="useradd --system millions",
    )


def _engines() -> Iterator[Finding]:
    for tier in tiers():
        for need in tier.needs:
            yield _told(need.name, partial(_version, need), rung=tier.rung)


def _version(need: EngineNeed) -> str:
    engine = engines.engine(need)
    return f"{engine.major} ({engine.folder})"


def _addresses() -> Iterator[Finding]:
    def bind() -> str:
        with socket.socket() as probe:
            probe.bind(("127.250.250.250", 0))
        return "127.N.x.y can be bound"

    yield _told("private addresses", bind, mend="ip addr add 127.0.0.1/8 dev lo")


def _room() -> Iterator[Finding]:
    root = state_root()
    existing = next(each for each in (root, *root.parents) if each.exists())

    def look() -> str:
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(f"{existing} cannot be written by this user")
        check_entry(unit_account(), root) if root.exists() else None
        return str(root)

    yield _told("state folder", look, mend="MILLIONS_HOME=/a/folder/of/yours")
    free_mib = shutil.disk_usage(existing).free // 1_048_576
    yield Finding(
        rung=1,
        what="room",
        found=free_mib >= FREE_MIB_MIN,
        said=f"{free_mib:,} MiB free for {root}",
        mend=f"make room, or MILLIONS_HOME on a disk with {FREE_MIB_MIN} MiB free",
    )


def _memory() -> Iterator[Finding]:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    available = next(line for line in text.splitlines() if line.startswith("MemAvailable"))
    mib = int(available.split()[1]) // 1024
    yield Finding(
        rung=1,
        what="memory",
        found=mib >= MEMORY_MIB_MIN,
        said=f"{mib:,} MiB available",
        mend=f"[database] memory_mib = {max(64, mib // 4)}",
    )


def _told(what: str, look: Callable[[], str], *, mend: str = "", rung: int = 1) -> Finding:
    """Answer what `look` says, or what it raises."""
    try:
        return Finding(rung=rung, what=what, found=True, said=look())
    except MillionsError as error:
        return Finding(rung=rung, what=what, found=False, said=error.because, mend=error.try_)
    except OSError as error:
        return Finding(rung=rung, what=what, found=False, said=str(error), mend=mend)
