"""Before anything is started: the addresses that new processes will listen on must be free.

Never starts or stops anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.model import Address, Unit
from millions.runtime import codec, processes, sockets
from millions.runtime.ledger import RECORD
from millions.runtime.record import TRY, UnitRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millions.runtime.state import StateFolder


def check(state: StateFolder, units: Iterable[Unit]) -> None:
    """Raise MachineError, which names the holder, when an address is taken by a stranger."""
    for unit in units:
        ours = _held(state, unit.name)
        wanted = [*unit.public, unit.address]
        if unit.handover and unit.address is not None:
            wanted.append(Address(host=unit.address.host, port=unit.address.port + 1))
        for address in wanted:
            if address is not None and address not in ours:
                sockets.check_free(address)


def _held(state: StateFolder, name: str) -> frozenset[Address]:
    """The addresses that living processes of the unit hold."""
    record = codec.read(UnitRecord, state.unit(name) / RECORD, try_=TRY)
    held: set[Address] = set()
    for process in record.processes if record is not None else ():
        if process.identity is not None and processes.alive(process.identity):
            addresses = (*process.spec.public, process.spec.address, process.address)
            held.update(address for address in addresses if address is not None)
    return frozenset(held)
