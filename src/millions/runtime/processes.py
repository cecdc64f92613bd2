"""Processes of this machine: who they are, whether they live, and how they are killed for certain.

Never trusts a bare number: a process is its pid, the time of its start and the boot it belongs to,
so that a pid that was given out again is never taken for the old one.

Source: `notes/database.md` for the kill (stop, collect, kill all); proc(5), pidfd_open(2).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")

KILL_WAIT_S = 10.0
"""How long SIGKILL may take to be seen: a process in disk sleep dies only when the disk answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One process for ever: `started` in clock ticks since the boot `boot`."""

    pid: int
    started: int
    boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What /proc/PID/stat says that we use. `terminal` is 0 without a controlling terminal."""

    state: str
    parent: int
    terminal: int
    started: int


@cache
def boot() -> str:
    """The identifier of this boot of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def entry(pid: int) -> Entry | None:
    """The process table's entry of `pid`; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # called often
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Entry(
        state=fields[0].decode(),
        parent=int(fields[1]),
        terminal=int(fields[4]),
        started=int(fields[19]),
    )


def identify(pid: int) -> Identity | None:
    """The identity of the process that has `pid` now; None when none lives."""
    found = entry(pid)
    if found is None or found.state in "ZX":
        return None
    return Identity(pid=pid, started=found.started, boot=boot())


def alive(identity: Identity) -> bool:
    """Whether exactly this process lives. A zombie, reaped by nobody yet, counts as dead."""
    return identity.pid > 0 and identify(identity.pid) == identity


def catches(identity: Identity, number: signal.Signals) -> bool:
    """Whether this process has a handler for a signal: without one that is lost, or ends it."""
    try:
        text = (_PROC / str(identity.pid) / "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line for line in text.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def open_pidfd(identity: Identity) -> int | None:
    """A file descriptor that becomes readable when the process ends; None when it has."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except (ProcessLookupError, OSError):
        return None
    if not alive(identity):
        os.close(descriptor)
        return None
    return descriptor


def send(identity: Identity, signal_number: int) -> bool:
    """Send a signal to exactly this process; False when it is gone."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, signal_number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def descendants(pid: int) -> tuple[int, ...]:
    """Children of `pid`, their children, and so on."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            found.append(child)
            waiting.append(child)
    return tuple(found)


def kill_tree(identity: Identity) -> tuple[Identity, ...]:
    """SIGKILL the process and all its descendants; returns whom, without waiting for their end.

    They are stopped first, so that none forks while they are collected. A descendant that left its
    session (PostgreSQL's backends do) is found too.
    """
    if not send(identity, signal.SIGSTOP):
        return ()
    doomed = {identity.pid: identity}
    grown = True
    while grown:
        grown = False
        for pid in descendants(identity.pid):
            found = identify(pid) if pid not in doomed else None
            if found is not None and send(found, signal.SIGSTOP):
                doomed[pid] = found
                grown = True
    for each in doomed.values():
        send(each, signal.SIGKILL)
    return tuple(doomed.values())


def wait_gone(identities: tuple[Identity, ...], *, within_s: float = KILL_WAIT_S) -> bool:
    """Wait (blocking) until none of them lives; False when one still does after `within_s`."""
    deadline = time.monotonic() + within_s
    while any(alive(each) for each in identities):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def every_pid() -> tuple[int, ...]:
    """All processes of this machine at this moment."""
    return tuple(int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208  # called often


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty when it may not be read."""
    try:
        content = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in content.split(b"\0") if b"=" in item)
    return {name.decode("latin-1"): value.decode("latin-1") for name, _, value in pairs}


def working_folder(pid: int) -> str:
    """The working folder of a process, also one that was deleted; empty when it may not be read."""
    try:
        folder = str((_PROC / str(pid) / "cwd").readlink())
    except OSError:
        return ""
    return folder.removesuffix(" (deleted)")


def output(pid: int) -> str:
    """The path of the file that a process writes to; empty when it may not be read."""
    try:
        return str((_PROC / str(pid) / "fd" / "1").readlink())
    except OSError:
        return ""


def name(pid: int) -> str:
    """The short name of a process, for people."""
    with suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return "?"


def _children(pid: int) -> tuple[int, ...]:
    found: list[int] = []
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += [int(each) for each in (task / "children").read_text().split()]
    return tuple(found)
