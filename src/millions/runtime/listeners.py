"""The public sockets of the stack: one for each unit and address, kept open as long as wanted.

Never closes a socket that a unit still serves; closing ours would not close theirs anyway, but the
backlog would be lost with the unit.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.runtime import sockets

if TYPE_CHECKING:
    from millions.model import Address
    from millions.runtime.record import ProcessRecord
    from millions.runtime.state import StateFolder

_Key = tuple[str, str]


class Listeners:
    """Listening sockets by unit and address."""

    def __init__(self, state: StateFolder) -> None:
        self._open: dict[_Key, socket.socket] = {}
        account = state.account
        self._allowed = frozenset({0, os.geteuid(), *([account.uid] if account else ())})

    def get(self, unit: str, address: Address) -> socket.socket:
        """The socket of a unit, bound now if it is not yet. Raise MachineError when taken.

        An address that another unit had until now (a balancer comes or goes) keeps its socket, and
        with it whoever waits there.
        """
        key = (unit, str(address))
        if key not in self._open:
            former = next((each for (_, name), each in self._open.items() if name == key[1]), None)
            self._open[key] = sockets.listen(address) if former is None else former.dup()
        return self._open[key]

    def refuse(self, unit: str) -> None:
        """Refuse connections to a unit until a process of it listens again.

        Those that wait are reset, so that whoever sent them asks another unit. A socket that does
        not listen is left alone: Linux keeps a shutdown of it, and each connection that it accepts
        once it listens again would be dead from the beginning. So is one that another unit has too,
        which takes the address over or gives it back: it is the same socket, and that one answers.
        """
        others = {address for name, address in self._open if name != unit}
        for (name, address), server in self._open.items():
            if name == unit and address not in others and sockets.listening_address(server):
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)

    def adopt(self, unit: str, process: ProcessRecord) -> None:
        """Fetch the sockets that a running process serves (blocking, bounded).

        It is asked for them; one that does not serve them on a socket is left its own, and they are
        copied from it, where the kernel lets us. What we do not get is bound at the next start.
        """
        missing = {str(each) for each in process.spec.public if (unit, str(each)) not in self._open}
        if not missing:
            return
        served = sockets.fetch(process.handover, self._allowed)
        if not served and process.identity is not None:
            numbers = range(
                sockets.LISTEN_DESCRIPTOR, sockets.LISTEN_DESCRIPTOR + len(process.spec.public)
            )
            served = sockets.copied(process.identity, tuple(numbers))
        for server in served:
            name = sockets.listening_address(server)
            if name in missing:
                missing.discard(name)
                self._open[unit, name] = server
            else:
                server.close()

    def keep(self, wanted: frozenset[_Key]) -> None:
        """Close every socket that is neither wanted nor used by a process."""
        for key in self._open.keys() - wanted:
            self._open.pop(key).close()
