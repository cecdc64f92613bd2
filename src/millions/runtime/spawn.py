"""Starting one process of a unit: its files, environment, limits, user and log.

Never puts a secret into an argument or a file: secrets are read from their files into the
environment of the process alone. Units get nothing of our own environment.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import UnitFailedError
from millions.runtime import belonging, placeholders, processes, rendering
from millions.runtime.sockets import LISTEN_DESCRIPTOR

if TYPE_CHECKING:
    import socket

    from millions.model import Address, Limits, Unit
    from millions.runtime.processes import Identity
    from millions.runtime.state import StateFolder

TELLTALE = "sqlalchemy"
"""A package that every application has, and whose compilation takes longest."""

_OPEN_MAX = 64
_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start: `number` counts the starts of the unit, `output` is where its output goes."""

    state: StateFolder
    spec: Unit
    number: int
    output: int
    address: Address | None = None
    handover: str = ""


def launch(
    start: Launch, command: tuple[str, ...] = (), servers: tuple[socket.socket, ...] = ()
) -> Identity:
    """Start a process of the unit (its own command, or a preparation's). Blocking, milliseconds.

    Raise UnitFailedError when the program cannot be run at all.
    """
    spec, state = start.spec, start.state
    places = placeholders.places(start.state, start.spec)
    arguments = [placeholders.filled(each, places) for each in command or spec.command]
    _require(spec.name, arguments[0])
    folder = placeholders.filled(spec.working_folder, places) or places["{folder}"]
    account = state.account
    try:
        rendering.render(state, spec)
        with _at_listen_descriptors(servers) as kept:
            child = subprocess.Popen(
                _limited(arguments, spec.limits),
                stdin=subprocess.DEVNULL,
                stdout=start.output,
                stderr=start.output,
                cwd=folder,
                env=environment(start, listens=len(servers)),
                pass_fds=kept,
                start_new_session=True,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
    except (OSError, ValueError) as error:
        raise UnitFailedError(
            cannot=f"start {spec.name}", because=str(error), try_="millions doctor"
        ) from error
    child.returncode = 0  # the supervisor reaps every child itself
    identity = processes.identify(child.pid)
    if identity is None:  # it is over already: a zombie still has its start time
        entry = processes.entry(child.pid)
        started = entry.started if entry is not None else 0
        return processes.Identity(pid=child.pid, started=started, boot=processes.boot())
    return identity


def environment(start: Launch, *, listens: int = 0) -> dict[str, str]:
    """Everything that the process finds in its environment, secrets included."""
    spec, state, places = start.spec, start.state, placeholders.places(start.state, start.spec)
    folder = places["{folder}"]
    known = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": folder,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        belonging.STACK: state.name,
        belonging.DIRECTORY: str(state.directory),
        belonging.UNIT: spec.name,
        belonging.START: str(start.number),
    }
    if not _compiled():
        known["PYTHONPYCACHEPREFIX"] = str(state.bytecode)
    if state.account is not None:
        known["USER"] = known["LOGNAME"] = state.account.name
    known |= {name: placeholders.filled(value, places) for name, value in spec.environment}
    if start.address is not None:
        known["MILLIONS_PRIVATE"] = str(start.address)
    if listens:
        known["MILLIONS_LISTEN_FD"] = str(LISTEN_DESCRIPTOR)
        known["MILLIONS_LISTEN_FDS"] = str(listens)
        known["MILLIONS_HANDOVER"] = start.handover
    for name, secret in spec.secret_environment:
        known[name] = (state.secrets / secret).read_text(encoding="utf-8").strip()
    return known


def _compiled() -> bool:
    """Whether the packages of this Python lie compiled beside their sources, as pip leaves them.

    Where they do not (uv, --no-compile), a unit that may not write there would compile them at
    each start, so it gets a folder for that.
    """
    found = find_spec(TELLTALE)
    return found is not None and found.cached is not None and Path(found.cached).exists()


class _at_listen_descriptors:  # noqa: N801  # reads as what it does
    """Keep `servers` at 3, 4, … while a child is made; what was there comes back."""

    def __init__(self, servers: tuple[socket.socket, ...]) -> None:
        self._servers = servers
        self._numbers = tuple(range(LISTEN_DESCRIPTOR, LISTEN_DESCRIPTOR + len(servers)))
        self._former: list[int | None] = []

    def __enter__(self) -> tuple[int, ...]:
        # first copies beyond the range: a server of ours may stand where another one has to
        fresh = [self._copied(each.fileno()) for each in self._servers]
        for number in self._numbers:
            former: int | None = None
            with suppress(OSError):
                former = self._copied(number)
            self._former.append(former)
        for number, copy in zip(self._numbers, fresh, strict=True):
            os.dup2(copy, number, inheritable=False)
            os.close(copy)
        return self._numbers

    def __exit__(self, *_: object) -> None:
        for number, former in zip(self._numbers, self._former, strict=True):
            if former is None:
                os.close(number)
            else:
                os.dup2(former, number, inheritable=False)
                os.close(former)

    def _copied(self, descriptor: int) -> int:
        """A copy of an open descriptor, above those that the child gets."""
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, self._numbers[-1] + 1)


def _require(name: str, program: str) -> None:
    """Raise UnitFailedError when there is no such program."""
    if shutil.which(program) is None:
        raise UnitFailedError(
            cannot=f"start {name}", because=f"no such program: {program}", try_="millions doctor"
        )


def _limited(arguments: list[str], limits: Limits) -> list[str]:
    """The command behind a shell that sets the bounds that the kernel holds and becomes it.

    Set by the process itself: prlimit(2) on one of another user needs a capability that root lacks
    in many containers. At most what we may ourselves.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(limits.open_files, _OPEN_MAX)
    files_max = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    bounds = f"ulimit -n {files_max}; ulimit -c 0"
    if limits.memory_mib is not None:
        bounds += f"; ulimit -d {limits.memory_mib * _KIB_PER_MIB}"
    return ["/bin/sh", "-c", f'{bounds}; exec "$@"', "sh", *arguments]


def close(descriptor: int) -> None:
    """Close our copy of what a child writes to."""
    os.close(descriptor)
