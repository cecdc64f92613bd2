"""Groups: whose turn it is to be replaced. One member at a time, while all others are well.

Pure. A member of which nothing is ready is not made worse by being replaced, so it may be at any
time: that is how a broken group is mended.

Source: the RollingUpdate of Kubernetes StatefulSets, with OrderedReady and maxUnavailable 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.model import Phase
from millions.reconcile import rollout
from millions.reconcile.backoff import next_start_at_s
from millions.reconcile.view import is_ready

if TYPE_CHECKING:
    from millions.model import Preparation
    from millions.reconcile.view import View


def blocker(name: str, view: View) -> str:
    """Which other member keeps a unit from being replaced now; '' when it may be."""
    names = view.members.get(view.wanted[name].group, ())
    if len(names) <= 1 or name not in view.serving:
        return ""
    for other in names:
        if other != name and not _is_well(other, view):
            return other
    first = next(each for each in names if each == name or _is_behind(each, view))
    return "" if first == name else first


def preparing(name: str, key: str, view: View) -> str:
    """Which other member is prepared first; '' when it is this one's turn.

    Two migrations of one database at a time would break each other.
    """
    earlier = True
    for other in view.members.get(view.wanted[name].group, ()):
        if other == name:
            earlier = False
        elif view.of(other).busy or (earlier and _begins_with(other, key, view)):
            return other
    return ""


def is_prepared(name: str, preparation: Preparation, view: View) -> bool:
    """Whether a preparation is done for a unit; a shared one by any member of its group."""
    names = view.members.get(view.wanted[name].group, ()) if preparation.shared else ()
    return any(preparation.key in view.of(each).prepared for each in (name, *names))


def _begins_with(name: str, key: str, view: View) -> bool:
    """Whether a member of which nothing is ready is about to begin with the preparation `key`."""
    seen, aim = view.of(name), view.aims[name]
    return (
        name not in view.serving
        and rollout.current(seen, aim.revision) is None
        and any(each.key == key and not is_prepared(name, each, view) for each in aim.prepare)
        and view.unmet(aim) is None
        and next_start_at_s(rollout.trouble_of(seen, aim.revision)) <= view.now_s
    )


def _is_well(name: str, view: View) -> bool:
    """Whether a member is ready, and not on its way from one revision to the next."""
    seen = view.of(name)
    process = rollout.current(seen, view.aims[name].revision)
    on_its_way = seen.busy or (process is not None and process.phase is not Phase.READY)
    return is_ready(seen) and not on_its_way


def _is_behind(name: str, view: View) -> bool:
    """Whether a member runs, but nothing of what it should run."""
    seen, revision = view.of(name), view.aims[name].revision
    return rollout.current(seen, revision) is None and bool(seen.processes)
