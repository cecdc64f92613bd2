"""The nouns of a process can be opened again on another event loop, as per-test loops do."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from millions.sdk import nouns
from millions.sdk.identifiers import uuid7
from millions.testing import directory_for


def test_nouns_open_again_on_another_event_loop(millions_postgres, millions_folder):
    name = f"loops_{secrets.token_hex(4)}"
    directory = directory_for(millions_postgres.create_database(name), millions_folder / name)

    async def work():
        async with nouns.running(directory):
            await nouns.cache.put("a", 1, ttl_s=60)
            await nouns.store.put("b", {"c": 2})
            async with nouns.db.write(uuid7()) as session:
                session.invalidates("a")
                await session.execute(text("SELECT 1"))
            return await nouns.cache.get("a"), (await nouns.store.get("b")).value

    with ThreadPoolExecutor(1) as thread:  # no loop of the tests runs there
        answers = [thread.submit(asyncio.run, work()).result(60) for _ in range(2)]
    millions_postgres.drop_database(name)
    assert answers == [(None, {"c": 2})] * 2
