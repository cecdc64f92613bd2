"""Before the only server of the database is restarted on purpose, transactions are held.

Those that run end first, and those that come wait in the application until it is back: none is cut
off. Decides nothing about what is restarted.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from millions.cli import changing
from millions.cli.moving import servers
from millions.cli.moving.draining import LOOKED_S, drained, published
from millions.cli.moving.servers import LOST, Server
from millions.cli.moving.site import TIER, administration

if TYPE_CHECKING:
    from millions.cli.progress import Progress
    from millions.directory import Directory
    from millions.model import Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder


def before(
    state: StateFolder, running: Desired | None, wanted: Desired, progress: Progress
) -> Desired:
    """Hold transactions if `wanted` restarts the only server (blocking, some seconds at most).

    Answer what is wanted then: they go on to be held, for a bounded time, until a later directory
    says otherwise. A server that does not answer is restarted as it is.
    """
    server = restarted(running, wanted)
    if server is None or server.address is None or running is None:
        return wanted
    held = dataclasses.replace(
        running, generation=wanted.generation, directory=_held(running.directory)
    )
    asked = Server(server.address, administration(state))
    return asyncio.run(_hold(state, asked, held, wanted, progress))


def restarted(running: Desired | None, wanted: Desired) -> Unit | None:
    """The server of the database that is alone before and after, and is started anew then. Pure.

    One that goes on with what it has (`Unit.keep`) is not.
    """
    former, later = (
        [each for each in found.units if each.tier == TIER] if found else []
        for found in (running, wanted)
    )
    if len(former) != 1 or len(later) != 1 or former[0].name != later[0].name:
        return None
    same = former[0].revision == later[0].revision
    return None if same or former[0].goes_on_as(later[0]) else former[0]


async def _hold(
    state: StateFolder, server: Server, held: Desired, wanted: Desired, progress: Progress
) -> Desired:
    progress.say("writes a checkpoint")
    try:
        await server.ask(servers.checkpoint)  # so that the restart has little left to write
        progress.say("holds transactions")
        await asyncio.to_thread(changing.written, state, held, progress)
        if await published(state):
            await asyncio.sleep(LOOKED_S)
            await drained(server)
    except LOST as error:
        progress.say(f"the database does not answer: {error}")
        return wanted
    finally:
        await server.close()
    return dataclasses.replace(
        wanted, generation=held.generation + 1, directory=_held(wanted.directory)
    )


def _held(directory: Directory | None) -> Directory | None:
    if directory is None:
        return None
    database = directory.database
    shards = tuple(dataclasses.replace(each, held=True) for each in database.shards)
    return dataclasses.replace(directory, database=dataclasses.replace(database, shards=shards))
