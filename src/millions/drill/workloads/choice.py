"""Which workload a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millions.drill.workloads.guests import Guests
from millions.drill.workloads.nouns import Nouns
from millions.drill.workloads.pages import Pages
from millions.drill.workloads.photos import Photos
from millions.drill.workloads.pure import Pure

if TYPE_CHECKING:
    from millions.drill.workloads.workload import Site, Workload

TARGETS = {
    "pure": "an application of the drill's own: registers, sets, transfers",
    "nouns": "the same application: cached values, store, sessions, tasks",
    "photos": "the photo-sharing application, by its API",
    "guests": "the photo-sharing application, by its pages, as who is not logged in",
    "pages": "any application: GET of the paths given",
}
OWN = frozenset({"pure", "nouns"})
"""Targets that run the drill's own application."""


def workload(target: str, site: Site, paths: tuple[str, ...]) -> Workload:
    """Make the workload for a target."""
    if target == "photos":
        return Photos(site)
    if target == "guests":
        return Guests(site)
    if target == "nouns":
        return Nouns(site)
    return Pages(site, paths or ("/",)) if target == "pages" else Pure(site)
