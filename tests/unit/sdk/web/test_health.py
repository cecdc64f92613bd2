"""A process is ready when everything is open and the database answers, and not while it drains."""

import asyncio

from millions.sdk.health import Health
from millions.testing import eventually


class Database:
    def __init__(self) -> None:
        self.asked = 0
        self.silent = False
        self.error: Exception | None = None

    async def ask(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.silent:
            await asyncio.Event().wait()


async def test_it_is_ready_when_the_database_answers() -> None:
    assert await Health(lambda: True, Database().ask).ready() == ""


async def test_it_is_not_ready_before_everything_is_open() -> None:
    database = Database()
    assert "starting" in await Health(lambda: False, database.ask).ready()
    assert database.asked == 0


async def test_it_is_not_ready_before_the_application_is_up() -> None:
    health = Health(lambda: True, Database().ask)
    health.starting = True
    assert "starting" in await health.ready()
    health.starting = False
    assert await health.ready() == ""


async def test_many_probes_are_one_question() -> None:
    database = Database()
    health = Health(lambda: True, database.ask)
    assert set(await asyncio.gather(*(health.ready() for _ in range(100)))) == {""}
    assert database.asked == 1


async def test_a_database_that_refuses_makes_it_unready_in_one_line() -> None:
    database = Database()
    database.error = OSError("connection\nrefused")
    assert await Health(lambda: True, database.ask).ready() == (
        "the database does not answer: connection refused"
    )


async def test_a_silent_database_does_not_hold_the_probe_for_long() -> None:
    database = Database()
    database.silent = True
    async with asyncio.timeout(2):
        health = Health(lambda: True, database.ask, within_s=0.05)
        assert "does not answer" in await health.ready()


async def test_a_database_that_is_away_for_a_moment_makes_nobody_unready() -> None:
    database = Database()
    health = Health(lambda: True, database.ask, within_s=0.02, patient_s=0.4)
    assert await health.ready() == ""
    database.silent = True
    health._asked_at_s = float("-inf")
    async with asyncio.timeout(0.3):
        assert await health.ready() == "", "a probe waited for a database that is away"
    await eventually(lambda: database.asked == 2, within_s=2)

    async def unready() -> bool:
        health._asked_at_s = float("-inf")
        return "does not answer" in await health.ready()

    assert await eventually(unready, within_s=5)
    database.silent = False
    health._asked_at_s = float("-inf")
    assert await health.ready() == ""


async def test_a_draining_process_is_not_ready_whatever_the_database_says() -> None:
    database = Database()
    health = Health(lambda: True, database.ask)
    assert await health.ready() == ""
    health.draining = True
    assert "draining" in await health.ready()
