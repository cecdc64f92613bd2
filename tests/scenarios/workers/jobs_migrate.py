"""The migration of the test's application: it notes each of its runs."""

import asyncio
import os
from pathlib import Path

import asyncpg

from millions import directory

TABLES = """
    CREATE TABLE IF NOT EXISTS runs
        (value int, unit text, pid int, release text, at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE IF NOT EXISTS migrations (release text, at timestamptz DEFAULT now());
"""


def password(path: str) -> str:
    return Path(path).read_text().strip()


async def main() -> None:
    place = directory.read(os.environ["MILLIONS_DIRECTORY"]).database
    primary = place.shards[0].primary
    connection = await asyncpg.connect(
        host=primary.host,
        port=primary.port,
        user=place.user,
        password=password(place.password_file),
        database=place.name,
    )
    await connection.execute(TABLES)
    await connection.execute("INSERT INTO migrations (release) VALUES ($1)", Path.cwd().name)
    await connection.close()


asyncio.run(main())
