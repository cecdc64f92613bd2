"""The fixtures that users get from `millions.testing`."""

import asyncpg

from millions.directory import Directory, parse

SEEN: set[str] = set()


async def _connect(directory: Directory) -> asyncpg.Connection:
    place = directory.database
    primary = place.shards[0].primary
    with open(place.password_file, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123
        password = file.read()
    return await asyncpg.connect(
        host=primary.host,
        port=primary.port,
        user=place.user,
        password=password,
        database=place.name,
    )


async def test_a_test_gets_a_database_that_answers(millions_directory: Directory) -> None:
    SEEN.add(millions_directory.database.name)
    connection = await _connect(millions_directory)
    try:
        await connection.execute("CREATE TABLE left_behind (id int)")
        assert await connection.fetchval("SELECT count(*) FROM left_behind") == 0
    finally:
        await connection.close()


async def test_the_next_test_gets_a_clean_one(millions_directory: Directory) -> None:
    assert millions_directory.database.name not in SEEN
    connection = await _connect(millions_directory)
    try:
        assert await connection.fetchval("SELECT to_regclass('left_behind')") is None
    finally:
        await connection.close()


def test_the_directory_survives_its_own_text(millions_directory: Directory) -> None:
    assert parse(millions_directory.text()) == millions_directory
