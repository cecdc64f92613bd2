"""Exit statuses: what each means, and which error gives which. The reference page shows them."""

from __future__ import annotations

from dataclasses import dataclass

from millions import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """One exit status and what it tells a script."""

    status: int
    meaning: str


DONE = Exit(status=0, meaning="done")
FAILED = Exit(status=1, meaning="it could not be done, for a reason that has no status of its own")
BROKEN = Exit(status=1, meaning="`drill run` and `check`: a promise is broken")
WRONG = Exit(
    status=2, meaning="the command line, the stack file or a history is wrong; nothing was changed"
)
MACHINE = Exit(status=3, meaning="this machine lacks something: a program, a free port, room")
UNIT = Exit(
    status=4, meaning="a unit or a release did not become ready (`status`: something is not ready)"
)
STATE = Exit(status=5, meaning="the state folder is damaged or of another version")
REFUSED = Exit(status=6, meaning="refused, because data could be lost and nobody consented")
NOT_RUNNING = Exit(status=7, meaning="the stack does not run")
INTERRUPTED = Exit(status=130, meaning="interrupted by Ctrl-C")

ALL = (DONE, FAILED, BROKEN, WRONG, MACHINE, UNIT, STATE, REFUSED, NOT_RUNNING, INTERRUPTED)

_OF_ERROR: dict[type[errors.MillionsError], Exit] = {
    errors.StackFileError: WRONG,
    errors.MachineError: MACHINE,
    errors.UnitFailedError: UNIT,
    errors.ReleaseError: UNIT,
    errors.StateError: STATE,
    errors.DirectoryError: STATE,
    errors.DataRefusedError: REFUSED,
    errors.NotRunningError: NOT_RUNNING,
    errors.HistoryError: WRONG,
}


def status_of(error: errors.MillionsError) -> int:
    """Answer the exit status for `error`."""
    for kind in type(error).__mro__:
        if kind in _OF_ERROR:
            return _OF_ERROR[kind].status
    return FAILED.status
