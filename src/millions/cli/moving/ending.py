"""The two ends of a move: tidy up once the new server leads, or undo all of it.

Both may be repeated after any crash, until the record of the move is gone.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from millions.cli import changing, editing, releasing
from millions.cli.moving import record, servers
from millions.cli.moving.servers import LOST
from millions.cli.moving.site import ask_for, kill, settled, text_with, until
from millions.cli.running import release_of
from millions.reconcile.moves import Event
from millions.runtime import status as statuses
from millions.tiers import postgresql_standby as standby

if TYPE_CHECKING:
    from millions.cli.moving.record import Move
    from millions.cli.moving.site import Site

SLOT_WITHIN_S = 30.0
"""A standby that was stopped leaves its slot at once; a machine that vanished, after a while."""

ERASED_WITHIN_S = 600.0
RECOVERED_WITHIN_S = 60.0
"""The old server may have been killed in between, and is tried again until it starts."""


async def tidy(site: Site, move: Move) -> None:
    """Make the new server the only one: in what should run, in the stack file, in its settings."""
    wanted = ask_for(site, (site.target,), (site.target,))
    write_stack_file(site, move)
    await site.standby.ask_within(servers.forget_origin)
    await settled(site, wanted)
    for name in (standby.FOLLOW_FILE, standby.PASSWORD_FILE):
        (site.data(site.target) / name).unlink(missing_ok=True)
    record.advance(site.state, move, Event.TIDIED)


def write_stack_file(site: Site, move: Move) -> None:
    """Write where the database is into the stack file (blocking); a climb writes it at its end.

    What else was edited there since the last command does not run, and is not noted as if it did.
    """
    if site.opened.between:
        return
    found = editing.text_of(site.opened.file)
    runs = releasing.noted(site.state, release_of(changing.current(site.state))) or found
    text = text_with(found, move.target, move.memory_mib)
    if text != found:
        editing.put_back(site.opened.file, text)
    releasing.note(site.state, text_with(runs, move.target, move.memory_mib))


async def undo(site: Site, move: Move) -> None:
    """Let the old server go on as the only one, and erase what was made of the new one."""
    move = record.advance(site.state, move, Event.GIVEN_UP)
    await site.standby.close()
    wanted = ask_for(site, (site.origin,), (site.origin,), consent=(site.target.name,))
    kill(site, site.target.name)  # nobody needs a clean stop of what is erased
    await settled(site, wanted, patience_s=RECOVERED_WITHIN_S)
    folder = site.state.unit(site.target.name)

    async def erased() -> bool:
        status = statuses.read(site.state.status)
        if status is None or all(each.name != site.target.name for each in status.units):
            shutil.rmtree(folder, ignore_errors=True)  # the supervisor has never heard of it
        return not folder.exists()

    await until(site, erased, within_s=ERASED_WITHIN_S, saying="erasing the copy")

    async def dropped() -> bool:
        with suppress(*LOST):
            return await site.primary.ask(lambda each: servers.drop_slot(each, move.slot))
        return False

    await until(site, dropped, within_s=SLOT_WITHIN_S, saying="giving the WAL free")
    record.advance(site.state, move, Event.UNDONE)
