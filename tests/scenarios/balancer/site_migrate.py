"""The migration of the test's application: it notes each of its runs."""

import asyncio
import os
from pathlib import Path

import asyncpg

from millions import directory


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
    await connection.execute(
        """CREATE TABLE IF NOT EXISTS orders (id bigserial PRIMARY KEY, what text);
        CREATE TABLE IF NOT EXISTS migrations (release text, at timestamptz DEFAULT now());"""
    )
    await connection.execute("INSERT INTO migrations (release) VALUES ($1)", Path.cwd().name)
    await connection.close()


asyncio.run(main())
