"""`move.json`: which move of the database is under way, and at which step.

Written before each step is begun and erased at the end; whoever finds it finishes or undoes the
move. Never holds a secret.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.reconcile import moves
from millions.reconcile.moves import Event, Step
from millions.runtime import codec, files

if TYPE_CHECKING:
    from pathlib import Path

    from millions.runtime.state import StateFolder

FILE = "move.json"
FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "the version of millions that began the move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move from server `origin` to server `target`; `memory_mib` is 0 where it stays the same.

    `began_at_s` is unix time. `gap_s` is how long no server took writes, 0 while unknown.
    """

    origin: int
    target: int
    memory_mib: int = 0
    step: Step = Step.BUILDING
    began_at_s: float = 0.0
    gap_s: float = 0.0
    format: int = FORMAT

    @property
    def slot(self) -> str:
        """The replication slot that keeps for the new server what it has not got yet."""
        return f"millions_move_{self.target}"

    @property
    def home(self) -> int:
        """The number of the server whose data counts now."""
        return moves.home(self.step, origin=self.origin, target=self.target)


def path(state: StateFolder) -> Path:
    """Where the record is while a move is under way."""
    return state.path / FILE


def read(state: StateFolder) -> Move | None:
    """Read the record (blocking); None when no move is under way. Raise StateError."""
    return codec.read(Move, path(state), try_=TRY)


def write(state: StateFolder, move: Move) -> Move:
    """Write the record durably (blocking); it is erased when the move is done."""
    if move.step is Step.DONE:
        path(state).unlink(missing_ok=True)
    else:
        files.write(path(state), codec.text(move))
    return move


def advance(state: StateFolder, move: Move, event: Event, *, gap_s: float = 0.0) -> Move:
    """Write down that `event` happened; answer the move at its next step."""
    step = moves.following(move.step, event)
    return write(state, dataclasses.replace(move, step=step, gap_s=gap_s or move.gap_s))
