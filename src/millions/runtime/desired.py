"""`desired.json`: what should run. Written by the command line, read by the supervisor.

Never holds a secret. A file that is half-written or of another format is a StateError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.directory import Directory  # noqa: TC001  # codec reads the hints
from millions.model import Certificate, Goal, Unit
from millions.reconcile.scaling import Rule  # noqa: TC001  # codec reads the hints
from millions.runtime import codec, files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "millions up, which writes it anew; what runs was not touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The whole document. `generation` rises with every change that somebody asks for.

    `consent` names units whose data may be erased once they are not wanted any more, `secrets` the
    secret files that are generated when they are missing, `certificates` what the stack's own
    authority signs. `units` are all that there may be; of a group with a rule in `scaling` as many
    of them run, the first ones, as the supervisor decides by it.
    """

    generation: int
    units: tuple[Unit, ...] = ()
    directory: Directory | None = None
    consent: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    scaling: tuple[Rule, ...] = ()
    format: int = FORMAT

    def goal(self, counts: Mapping[str, int]) -> Goal:
        """What the planner is told, with so many units of each group that has a rule."""
        left = {rule.group: counts.get(rule.group, rule.first) for rule in self.scaling}
        units: list[Unit] = []
        for unit in self.units:
            if unit.group in left:
                left[unit.group] -= 1
            if left.get(unit.group, 0) >= 0:
                units.append(unit)
        return Goal(units=tuple(units), consent=self.consent)

    def text(self) -> str:
        """The document as JSON, stable for equal documents."""
        return codec.text(self)


def parse(text: str, *, source: str = "desired.json") -> Desired:
    """Read a document. Raise StateError when it is not whole or of another format."""
    return codec.parse(Desired, text, where=source, try_=TRY)


def read(path: Path) -> Desired | None:
    """Read the document at `path` (blocking); None when there is none."""
    return codec.read(Desired, path, try_=TRY)


def write(path: Path, desired: Desired) -> None:
    """Write the document at `path` atomically (blocking)."""
    files.write(path, desired.text())
