"""A connection that somebody ends while it is used is a lost one, not an error of ours."""

import time

import asyncpg
import pytest

from millions.sdk.position import Seen
from millions.sdk.track import Track, checked, prepare


class EndedAfterwards:
    """A connection that is ended right after each answer, as when another primary is found."""

    def __init__(self, raw):
        self._raw = raw

    async def execute(self, *arguments, **more):
        answer = await self._raw.execute(*arguments, **more)
        self._raw.terminate()
        return answer

    def __getattr__(self, name):
        return getattr(self._raw, name)


@pytest.fixture
async def raw(db):
    connection = await db.listener()
    yield connection
    connection.terminate()


@pytest.fixture
def track():
    return Track("s0", Seen(), prepare("test"))


async def test_what_was_rolled_back_on_it_leaves_a_doubt(raw, track):
    await raw.execute(track.prepare)
    await raw.execute("BEGIN")
    await track.roll_back(EndedAfterwards(raw))
    assert track.seen.unsure == {"s0"}


async def test_what_began_on_it_has_lost_its_connection(raw, track):
    await raw.execute(track.prepare)
    await EndedAfterwards(raw).execute(checked("BEGIN READ ONLY"))
    with pytest.raises(asyncpg.PostgresConnectionError):
        track.begun(raw, time.monotonic())
