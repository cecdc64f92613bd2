"""Before a change is undone that made a cluster of the database: who stays has to lead it.

What ran before goes on with one server, or fewer. Another one may lead by then and have what that
one has not. Decides nothing else about what is undone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from millions.cli import leading, members, waiting
from millions.errors import NotRunningError
from millions.programs.member import STANDALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millions.cli.progress import Progress
    from millions.model import Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder

LEADS_WITHIN_S = 60.0
"""A cluster whose leader died has another one within seconds, on a busy machine later."""


def prepare(state: StateFolder, now: Desired, former: Desired, progress: Progress) -> None:
    """Let a member lead that `former` has too (blocking, bounded). Raise when none does."""
    names = {each.name for each in members.units(now)}
    stay = [each for each in former.units if each.name in names]
    if len(stay) == len(names) and all(each.lease for each in stay):
        return  # the cluster stays as it is, or there is none
    if _never_left(state, stay):
        return
    leads = _leader(state, now, progress)
    if leads not in {each.name for each in stay}:
        progress.say(f"{leads} leads")
        leading.hand_over(state, now, stay[0].name if stay else None, progress)


def _never_left(state: StateFolder, stay: Sequence[Unit]) -> bool:
    """Whether a server still has the mark that nobody else can have newer data."""
    return any((state.unit(each.name) / "data" / STANDALONE).exists() for each in stay)


def _leader(state: StateFolder, now: Desired, progress: Progress) -> str:
    """Who leads, once somebody does. Raise NotRunningError when nobody does in time."""
    leads = ""

    def waits_for() -> str:
        nonlocal leads
        with suppress(NotRunningError):
            leads = members.leader(members.members(now))
        if leads:
            return ""
        progress.say("waits for a leader of the database")
        return "no member of the database leads"

    def late(waits: str) -> NotRunningError:
        return NotRunningError(
            cannot="undo the change",
            because=f"{waits} after {LEADS_WITHIN_S:g} s",
            try_="millions status, then the same command again",
        )

    waiting.until(state, waits_for, late, within_s=LEADS_WITHIN_S)
    return leads
