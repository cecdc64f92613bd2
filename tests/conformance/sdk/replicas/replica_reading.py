"""What the laws of replicas have in common: a request's user, and a shard that is read from."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from millions.sdk import position
from millions.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.sdk.database import Database
    from millions.sdk.position import Seen

SETTLE_S = 0.05


async def settled(database: Database, replicas: int = 2) -> None:
    topology = database._home.topology
    assert topology is not None

    def all_are_read_from() -> bool:
        floor, found = topology.floor, topology._replicas
        if floor is None or len(found) < replicas:
            return False
        return all(position.covers(each.reached, floor) for each in found)

    await eventually(all_are_read_from, saying="replicas are read from")


@contextlib.contextmanager
def request_of(seen: Seen) -> Iterator[Seen]:
    """As inside a request of the user who has seen `seen`."""
    token = position.current.set(seen)
    try:
        yield seen
    finally:
        position.current.reset(token)
