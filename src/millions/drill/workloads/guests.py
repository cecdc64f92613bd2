"""Strangers in the photo-sharing application: a page, and what a browser fetches of it.

They have no cookie, so whatever may be kept for everybody can be given by edges. Nobody changes
anything once they look, so it proves only answers.
"""

from __future__ import annotations

import asyncio
import html
import re
from typing import TYPE_CHECKING

from millions.drill.workloads.photos import Photos
from millions.drill.workloads.user import Deed

if TYPE_CHECKING:
    from millions.drill.connection import Answer
    from millions.drill.workloads.user import User
    from millions.drill.workloads.workload import Site

PAGES = {"start": 30, "explore": 30, "profile": 40}
SHOWN = re.compile(r'<(?:img|link|script)\b[^>]*?\s(?:src|href)="(/[^"]+)"')
FETCHED = 4
"""So much of what a page shows is fetched with it; browsers have kept the rest."""


class Guests:
    """The workload."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._random = site.random
        self._members = Photos(site)

    async def prepare(self) -> None:
        """Let members sign up, who share pictures."""
        await self._members.prepare()

    async def run(self) -> None:
        """Let strangers look until the site is stopping."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._site.clients):
                group.create_task(self._look(self._site.user(f"guest {number}")))

    async def finish(self) -> None:
        """Look whether the members' pictures are there."""
        await self._members.finish()

    async def _look(self, guest: User) -> None:
        kinds, weights = list(PAGES), list(PAGES.values())

        async def act() -> None:
            (kind,) = self._random.choices(kinds, weights)
            path = {"start": "/", "explore": "/explore"}.get(kind)
            path = path or f"/@{self._random.choice(self._members.handles)}"
            page = await guest.do(Deed(kind=kind, method="GET", path=path))
            for part in self._parts(page) if page is not None else ():
                await guest.do(Deed(kind="part", method="GET", path=part))

        await self._site.act(act)
        await guest.close()

    def _parts(self, page: Answer) -> list[str]:
        """Some of what it shows, which is not at a delivery network."""
        shown = list(dict.fromkeys(SHOWN.findall(page.body.decode())))
        chosen = self._random.sample(shown, min(FETCHED, len(shown)))
        return [html.unescape(each) for each in chosen]
