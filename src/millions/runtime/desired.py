"""`desired.json`: what should run. Written by the command line, read by the supervisor.

Never holds a secret. A file that is half-written or of another format is a StateError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.directory import Directory  # noqa: TC001  # codec reads the hints
from millions.model import Certificate, Goal, Unit
from millions.runtime import codec, files

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "millions up, which writes it anew; what runs was not touched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The whole document. `generation` rises with every change that somebody asks for.

    `consent` names units whose data may be erased once they are not wanted any more, `secrets` the
    secret files that are generated when they are missing, `certificates` what the stack's own
    authority signs.
    """

    generation: int
    units: tuple[Unit, ...] = ()
    directory: Directory | None = None
    consent: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    format: int = FORMAT

    def goal(self) -> Goal:
        """What the planner is told."""
        return Goal(units=self.units, consent=self.consent)

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
