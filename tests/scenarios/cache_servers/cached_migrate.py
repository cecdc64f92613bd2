"""Makes the table of the test's application."""

import asyncio

from millions import db
from millions.sdk import nouns


async def main() -> None:
    async with nouns.running():
        await db.pool().execute(
            "CREATE TABLE IF NOT EXISTS numbers (name text PRIMARY KEY, value int NOT NULL)"
        )


asyncio.run(main())
