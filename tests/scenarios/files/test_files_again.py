"""Files that went back to the folder go to servers again, which are others than the first ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from stored import IN_A_FOLDER, ON_SERVERS, Uploads

if TYPE_CHECKING:
    from stored import Stored

pytestmark = pytest.mark.timeout(300)


async def test_files_are_read_on_servers_that_come_a_second_time(stack: Stored) -> None:
    async with stack.client() as client:
        for before, after in ((ON_SERVERS, IN_A_FOLDER), (IN_A_FOLDER, ON_SERVERS)):
            stack.edit(before, after)
            async with Uploads(stack, f"while {len(stack.acknowledged)}") as uploads:
                await uploads.more()
                said = await asyncio.to_thread(stack.millions, "apply", "--yes")
                await uploads.more()
            assert uploads.failed == [], said
            assert await stack.lost(client) == []
    await stack.settled()
