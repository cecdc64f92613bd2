"""Ways to a database beside `db`: a connection that watches, a directory that points elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from millions.directory import DatabasePlace, Directory, Endpoint


def password(place: DatabasePlace) -> str:
    return Path(place.password_file).read_text()


async def raw(directory: Directory) -> asyncpg.Connection[Any]:
    """A connection beside `db`, to look at what it did."""
    place = directory.database
    endpoint = place.shards[0].primary
    return await asyncpg.connect(
        host=endpoint.host,
        port=endpoint.port,
        user=place.user,
        password=password(place),
        database=place.name,
        server_settings={"application_name": "witness"},
    )


def redirected(directory: Directory, endpoint: Endpoint, **changes: object) -> Directory:
    """The same directory with its only shard at another endpoint."""
    shard = dataclasses.replace(directory.database.shards[0], primary=endpoint)
    place = dataclasses.replace(directory.database, shards=(shard,), **changes)
    return dataclasses.replace(directory, database=place)
