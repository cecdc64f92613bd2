"""Any application: GET some paths, again and again. It changes nothing and proves only answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from millions.drill.workloads.user import Deed

if TYPE_CHECKING:
    from millions.drill.workloads.workload import Site


class Pages:
    """The workload: each of `paths` in turn."""

    def __init__(self, site: Site, paths: tuple[str, ...] = ("/",)) -> None:
        self._site = site
        self._paths = paths

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def run(self) -> None:
        """Let users look until the site is stopping."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._site.clients):
                group.create_task(self._client(number))

    async def finish(self) -> None:
        """Nothing is left to look at."""

    async def _client(self, number: int) -> None:
        user = self._site.user(f"u{number}")
        turn = number

        async def act() -> None:
            nonlocal turn
            turn += 1
            path = self._paths[turn % len(self._paths)]
            await user.do(Deed(kind="view", method="GET", path=path, key=path, repeats=False))

        await self._site.act(act)
        await user.close()
