"""When the database is away, people and programs must be told so, and served when it is back."""

import asyncio

import httpx
import pytest
from photos_server import prepared, serving

from millions.testing import EmbeddedPostgres, eventually

GIVES_UP_WITHIN_S = 25
"""The SDK waits for a database that may only be restarting; then it says so."""


@pytest.fixture
def own_postgres(tmp_path_factory, millions_folder):
    """A PostgreSQL that this test may stop."""
    server = EmbeddedPostgres(millions_folder / "photos-outage")
    server.start()
    yield server
    server.remove()


async def test_an_outage_is_said_in_words_and_ends_by_itself(own_postgres, tmp_path):
    environment = prepared(own_postgres.create_database("photos"), tmp_path)
    with serving(environment, tmp_path / "web.log") as url:
        async with httpx.AsyncClient(base_url=url, timeout=GIVES_UP_WITHIN_S) as client:
            assert (await client.get("/@nobody")).status_code == 404
            own_postgres.stop()
            page, told = await asyncio.gather(
                client.get("/@nobody_else"), client.get("/api/people/nobody_more")
            )
            assert page.status_code == 503
            assert page.headers["retry-after"] == "5"
            assert "Back in a moment" in page.text
            assert told.status_code == 503
            assert "Back in a moment" in told.json()["detail"]
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
            own_postgres.start()

            async def back() -> bool:
                return (await client.get("/@nobody_else")).status_code == 404

            assert await eventually(back, within_s=GIVES_UP_WITHIN_S)
