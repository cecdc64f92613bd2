"""`scaling.json`: how many units of a group run whose number follows the work, and why.

Written by the supervisor with each decision, read by its successor and by the command line. When it
is lost or damaged, those that run are gone on with: it is a memory, never needed by what runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import StateError
from millions.reconcile.scaling import Decided
from millions.runtime import codec, files

if TYPE_CHECKING:
    from pathlib import Path

    from millions.reconcile.scaling import Rule
    from millions.runtime.desired import Desired
    from millions.runtime.ledger import Ledger

FORMAT = 1
"""Version of the file's shape; another one is refused."""

TRY = "nothing: the supervisor writes it anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The whole document."""

    groups: tuple[Decided, ...] = ()
    format: int = FORMAT

    def text(self) -> str:
        """The document as JSON."""
        return codec.text(self)


def read(path: Path) -> tuple[Decided, ...]:
    """What was decided last (blocking); nothing where that cannot be read."""
    try:
        found = codec.read(Counts, path, try_=TRY)
    except StateError:
        return ()
    return found.groups if found is not None else ()


def write(path: Path, groups: tuple[Decided, ...]) -> None:
    """Write what was decided, atomically (blocking)."""
    files.write(path, Counts(groups=groups).text())


def last(
    path: Path, wanted: Desired, ledger: Ledger, known: tuple[Decided, ...] | None = None
) -> tuple[Decided, ...]:
    """What holds of each rule now: what was decided last, within what is allowed.

    Where nothing was, as many as run, but not fewer than the first ones.
    """
    found = {each.group: each for each in (read(path) if known is None else known)}
    return tuple(
        found.get(rule.group) or Decided(group=rule.group, count=_running(rule, wanted, ledger))
        for rule in wanted.scaling
    )


def of(path: Path, wanted: Desired, ledger: Ledger) -> dict[str, int]:
    """How many units of each group with a rule run, for the command line (blocking)."""
    rules = {rule.group: rule for rule in wanted.scaling}
    return {each.group: rules[each.group].within(each.count) for each in last(path, wanted, ledger)}


def _running(rule: Rule, wanted: Desired, ledger: Ledger) -> int:
    names = [unit.name for unit in wanted.units if unit.group == rule.group]
    return rule.within(max(rule.first, sum(bool(ledger.get(name).processes) for name in names)))
