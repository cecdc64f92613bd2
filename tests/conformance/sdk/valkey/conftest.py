import pytest
import pytest_asyncio

from millions.sdk.valkey import Greeting, Link, Script
from millions.testing import eventually
from millions.testing.valkey import EmbeddedValkey

DOUBLE = Script("return 2 * ARGV[1]")
PATIENT_S = 2.0
"""How late the server may answer here, unless a test says otherwise: the machine may be busy."""


@pytest.fixture
def server(tmp_path):
    server = EmbeddedValkey(tmp_path / "valkey").start()
    yield server
    server.stop()


async def yes(_wire):
    return True


@pytest_asyncio.fixture(loop_scope="session")
async def linked(server):
    links = []

    async def linked(*, ready=yes, wait=True, **told):
        told.setdefault("deadline_s", PATIENT_S)
        greeting = Greeting(password_file=str(server.password_file), scripts=(DOUBLE,))
        link = Link(server.place, told.pop("greeting", greeting), ready=ready, **told)
        link.open()
        links.append(link)
        if wait:
            await eventually(lambda: link.wire is not None, within_s=5)
        return link

    yield linked
    for link in links:
        await link.close()
