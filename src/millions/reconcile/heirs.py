"""Heirs: who takes a public address over from a process that is to go, when another unit gets it.

Pure. A balancer that comes takes the address of the web server, and gives it back when it goes;
the one that has it serves on until the other one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.model import Phase
from millions.reconcile import rollout

if TYPE_CHECKING:
    from millions.model import Address, Process
    from millions.reconcile.view import View


def heir(name: str, process: Process, view: View) -> str:
    """The unit that is to serve an address of this process of `name`, and does not yet; or ''.

    One that has to stop before it can start anew is not waited for: it may wait for this process.
    """
    if process.phase is not Phase.READY:
        return ""
    for address in process.spec.public:
        for other, aim in view.aims.items():
            if other == name or address not in aim.public or serves(other, address, view):
                continue
            seen = view.of(other)
            runs = rollout.current(seen, aim.revision) is not None
            if aim.handover or runs or not seen.processes:
                return other
    return ""


def serves(name: str, address: Address, view: View) -> bool:
    """Whether a ready process of a unit answers at an address."""
    return any(
        process.phase is Phase.READY and address in (*process.spec.public, process.spec.address)
        for process in view.of(name).processes
    )
