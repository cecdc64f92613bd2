"""What runs: the status file, and whether the supervisor that wrote it still lives."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.cli import changing
from millions.errors import NotRunningError, StateError
from millions.runtime import status as statuses
from millions.runtime import supervisor

if TYPE_CHECKING:
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder
    from millions.runtime.status import Status, UnitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What is known of a stack at one moment. `supervised` is False after a supervisor died."""

    desired: Desired | None
    status: Status | None
    supervised: bool

    @property
    def well(self) -> bool:
        """Whether everything that is wanted is ready and watched."""
        return self.supervised and self.status is not None and self.status.settled

    def document(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "runs": self.desired is not None,
            "well": self.well,
            "supervised": self.supervised,
            "release": release_of(self.desired),
            **({} if self.status is None else dataclasses.asdict(self.status)),
        }


def look(state: StateFolder) -> Running:
    """Read what runs now (blocking). A damaged status file counts as none."""
    try:
        status = statuses.read(state.status)
    except StateError:
        status = None
    return Running(
        desired=changing.current(state),
        status=status,
        supervised=supervisor.running(state) is not None,
    )


def required(state: StateFolder) -> Desired:
    """Answer what should run. Raise NotRunningError when nothing should."""
    desired = changing.current(state)
    if desired is None:
        raise NotRunningError(
            cannot=f"find the stack {state.identity.name} running",
            because="nothing of it should run",
            try_="millions up",
        )
    return desired


def releases_of(desired: Desired | None) -> dict[str, str]:
    """The release that each tier of the application should run, the web tier first.

    Where a deploy was broken off at the first server, it is the one of the others.
    """
    units = desired.units if desired is not None else ()
    return {unit.tier: unit.release for unit in units if unit.release}


def release_of(desired: Desired | None) -> str:
    """The release that should run; '' when none. Tiers may have an own one beside it."""
    return next(iter(releases_of(desired).values()), "")


def public_addresses(units: tuple[UnitStatus, ...]) -> list[str]:
    """Where people connect, as they would type it: 0.0.0.0 is shown as this machine.

    A listening socket on the unit's own private host is for a balancer, not for people. Of several
    the first is for HTTP, the second for HTTPS.
    """
    shown = [
        f"{scheme}://{address.replace('0.0.0.0:', '127.0.0.1:')}/"
        for unit in units
        for scheme, address in zip(("http", "https"), unit.public, strict=False)
        if address.partition(":")[0] != unit.address.partition(":")[0]
    ]
    return list(dict.fromkeys(shown))
