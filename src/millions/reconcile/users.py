"""Users: who still uses a unit that is to go. What is used goes after its users.

Pure. A process uses what it was started with: the units and groups that it needs, and the servers
of its pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.model import Process, Seen
    from millions.reconcile.view import View


def users(view: View) -> dict[str, str]:
    """For each unit that is to go, one other that still runs and was started to use it.

    Units that only wait for each other in a ring are all free to go.
    """
    leaving = {
        seen.name: seen
        for seen in view.seen.values()
        if seen.processes and seen.name not in view.wanted
    }
    found: dict[str, str] = {}
    if not leaving:
        return found
    held_by_wanted = False
    for seen in view.seen.values():
        for process in seen.processes:
            for used in _used(process, leaving, view):
                if used != seen.name:
                    found[used] = seen.name
                    held_by_wanted = held_by_wanted or seen.name in view.wanted
    moving = any(
        process.phase is Phase.STOPPING for seen in leaving.values() for process in seen.processes
    )
    ring = len(found) == len(leaving) and not held_by_wanted and not moving
    return {} if ring else found


def _used(process: Process, leaving: dict[str, Seen], view: View) -> Iterator[str]:
    """Which of the units that are to go a process uses.

    A member of a group is used only as long as too few of those that stay are ready.
    """
    for need in process.spec.needs:
        if need in leaving:
            yield need
        elif not view.is_met(need) and need != process.spec.group:
            yield from (name for name, seen in leaving.items() if need in _groups(seen))
    if process.spec.pool is not None:
        yield from (each.unit for each in process.spec.pool.servers if each.unit in leaving)


def _groups(seen: Seen) -> set[str]:
    return {process.spec.group for process in seen.processes}
