"""A copy of the database that went astray is told from one that the server has all of."""

import asyncio
import secrets
import subprocess

import asyncpg
import pytest

from millions.cli.moving import control_data, history
from millions.sdk.position import position_of
from millions.testing.postgres import HOST, EmbeddedPostgres, binaries

MANY_ROWS = "INSERT INTO kept SELECT generate_series(1, 20000)"


def read(server):
    return control_data.read(str(binaries()), server.data)


def asked(server):
    async def ask():
        password = server.password_file.read_text()
        connection = await asyncpg.connect(
            host=HOST, port=server.port, user="app", password=password, database="postgres"
        )
        try:
            return await history.ask(connection)
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture
def servers(millions_folder):
    """A server, stopped, and a standby of it that has taken over and written since."""
    folder = millions_folder / f"history-{secrets.token_hex(4)}"
    old, new = EmbeddedPostgres(folder / "old"), EmbeddedPostgres(folder / "new")
    try:
        old.start()
        old.sql("CREATE TABLE kept (id int)")
        old.stop()
        subprocess.run(["cp", "-a", str(old.folder), str(new.folder)], check=True, timeout=60)
        (new.data / "standby.signal").touch()
        new.start()
        new.sql("SELECT pg_promote()")
        new.sql(MANY_ROWS)
        yield old, new
    finally:
        old.remove()
        new.remove()


def test_a_server_has_the_copy_it_took_over_from_until_that_wrote_again(servers):
    old, new = servers
    had = asked(new)
    assert had.timeline == 2
    assert had.has(read(old))
    old.start()
    old.sql("INSERT INTO kept VALUES (0)")
    old.stop()
    astray = read(old)
    assert astray.system == had.system
    assert position_of(astray.checkpoint) < had.flushed
    assert not had.has(astray)
