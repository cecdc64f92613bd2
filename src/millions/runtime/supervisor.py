"""The supervisor's process: `python -m millions.runtime.supervisor STATE_FOLDER`.

Started detached by the command line, one for each stack; units outlive it. Never in the path of a
request.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import MillionsError, StateError
from millions.runtime import diary

if TYPE_CHECKING:
    from millions.runtime.state import StateFolder

START_WAIT_S = 20.0
"""How long a supervisor may take to hold the lock: a fraction of a second, on a loaded machine
several."""

ATTEMPTS_MAX = 3
"""Another supervisor may begin, or end, while we start one."""

_READY = b"ready "

_LOCK = struct.Struct("hhqqi4x")
"""struct flock: type, whence, start, length, pid; the lock is on the whole file."""


def running(state: StateFolder) -> int | None:
    """The pid of the stack's supervisor; None when none runs."""
    try:
        lock = os.open(state.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _holder(lock) if _is_held(lock) else None
    finally:
        os.close(lock)


def ensure(state: StateFolder) -> int:
    """Start a supervisor if none runs (blocking, bounded); returns the pid of the one that does.

    Raise what kept it from starting: StateError for damaged state, MachineError for the machine.
    """
    deadline = time.monotonic() + START_WAIT_S
    for _attempt in range(ATTEMPTS_MAX):
        pid = running(state)
        if pid is not None:
            return pid
        said = _start(state, deadline)
        if said.startswith(_READY.decode()):
            return int(said.removeprefix(_READY.decode()))
        if said:
            raise _error(said)
    raise StateError(
        cannot=f"start a supervisor for {state.name}",
        because=f"it ended at once, or said nothing within {START_WAIT_S:g} s",
        try_=f"look at {state.supervisor_log}",
    )


def main(arguments: list[str]) -> int:
    """Detach, take the lock, and supervise until told to stop."""
    from millions.runtime.state import open_folder  # noqa: PLC0415  # the parent needs none of it

    answer = int(arguments[2]) if len(arguments) > 2 else None  # noqa: PLR2004  # a pipe's number
    if answer is not None and os.fork() > 0:
        os._exit(0)  # the command line must not become our parent
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the loop listens to it
    try:
        state = open_folder(Path(arguments[1]))
        lock = take(state)
        if lock is None:
            return 0
        try:
            _supervise(state, answer)
        finally:
            os.close(lock)  # before anything is said: who hears it may begin another one
    except MillionsError as error:
        sys.stderr.write(f"{error}\n")
        if answer is not None:
            lines = (type(error).__name__, error.cannot, error.because, error.try_)
            os.write(answer, "\0".join(lines).encode())
        return 1
    return 0


def _supervise(state: StateFolder, answer: int | None) -> None:
    import asyncio  # noqa: PLC0415  # late: the fork comes first
    import gc  # noqa: PLC0415

    from millions.runtime import reaper  # noqa: PLC0415
    from millions.runtime.loop import Loop  # noqa: PLC0415

    reaper.become_subreaper()

    async def work() -> None:
        loop = Loop(state)
        gc.collect()
        gc.freeze()
        await loop.run(ready=lambda: _say_ready(answer))

    asyncio.run(work())


def _say_ready(answer: int | None) -> None:
    if answer is not None:
        with suppress(OSError):  # who has started us may be gone
            os.write(answer, _READY + str(os.getpid()).encode())
        os.close(answer)


def take(state: StateFolder) -> int | None:
    """Take the supervisor's lock, until it is closed; None when somebody else holds it."""
    lock = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _is_held(lock: int) -> bool:
    """Whether somebody holds the lock; asking does not take it, so no supervisor is kept out."""
    asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer: bytes = fcntl.fcntl(lock, fcntl.F_OFD_GETLK, asked)
    return bool(_LOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _holder(lock: int) -> int | None:
    """The pid in a lock file that is held; it is written at once after the lock is taken."""
    for _attempt in range(100):
        text = os.pread(lock, 32, 0).decode("ascii", errors="replace").strip()
        if text.isdigit():
            return int(text)
        time.sleep(0.005)
    return None


def _start(state: StateFolder, deadline: float) -> str:
    """Start a process and return what it says: that it is ready, an error, or nothing."""
    reader, writer = os.pipe()
    with diary.open_log(state) as log, os.fdopen(reader, "rb") as answers:
        starter = subprocess.Popen(
            [
                sys.executable,
                *("-X", "frozen_modules=on", "-m", "millions.runtime.supervisor"),
                *(str(state.path), str(writer)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        try:
            starter.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            starter.kill()
            starter.wait()
        select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
        return answers.read1(4096).decode() if select.select([answers], [], [], 0)[0] else ""


def _error(said: str) -> MillionsError:
    """The error that a supervisor said through its pipe."""
    from millions import errors  # noqa: PLC0415  # only after a failure

    kind, cannot, because, try_ = (*said.split("\0"), "", "", "")[:4]
    found = getattr(errors, kind, errors.MillionsError)
    error: MillionsError = found(cannot=cannot, because=because, try_=try_)
    return error


if __name__ == "__main__":
    sys.exit(main(sys.argv))
