"""Letting another member of the database lead: what is looked at before, and how it is done."""

from __future__ import annotations

import asyncio
import base64
import signal
import time
from typing import TYPE_CHECKING, Any

import asyncpg

from millions.cli import members
from millions.errors import DataRefusedError, MachineError, NotRunningError, UnitFailedError
from millions.runtime import pidfiles, processes, supervisor
from millions.tiers import patroni

if TYPE_CHECKING:
    from millions.cli.progress import Progress
    from millions.model import Unit
    from millions.runtime.desired import Desired
    from millions.runtime.state import StateFolder

FOLLOWED_WITHIN_S = 30.0
COMPLETE_WITHIN_S = 10.0
LOOK_S = 0.05
CHECKPOINT_WITHIN_S = 300.0


def hand_over(
    state: StateFolder, desired: Desired, target: str | None, progress: Progress
) -> tuple[str, str, float]:
    """Let `target` lead, or who is first (blocking); answer who led, who leads, and the seconds.

    Raise when nobody could follow, or not the one that is named.
    """
    former = _checked(state, desired, target)
    began_s = time.monotonic()
    if former != target:
        progress.say(f"{former} writes down what it has in memory")
        asyncio.run(_checkpoint(state, _unit(desired, former)))
        began_s = time.monotonic()
        progress.say(f"{former} stops leading")
        if target is None:
            _stop(state, _unit(desired, former))
        else:
            _hand_to(state, _unit(desired, former), target)
    leads = _followed(state, desired, former, target)
    return former, leads, time.monotonic() - began_s


def _checked(state: StateFolder, desired: Desired, target: str | None) -> str:
    """Answer who leads. Raise when nobody could follow, or not the one that is named."""
    if not members.units(desired):
        raise NotRunningError(
            cannot="switch over", because="the database has no replicas", try_="rung = 4"
        )
    if supervisor.running(state) is None:
        raise NotRunningError(
            cannot="switch over",
            because="no supervisor gives the leadership free",
            try_="millions up",
        )
    found = _settled(desired, target)
    former = members.leader(found)
    complete = [each.name for each in found if each.complete]
    names = [each.name for each in found]
    if not former:
        raise NotRunningError(
            cannot="switch over", because="nobody leads at the moment", try_="millions status"
        )
    if target is not None and target not in names:
        raise NotRunningError(
            cannot=f"let {target} lead",
            because=f"the members are {', '.join(names)}",
            try_=f"--to {complete[0] if complete else former}",
        )
    if target != former and not (complete if target is None else target in complete):
        raise DataRefusedError(
            cannot=f"let {target or 'another member'} lead",
            because="it has not all that was acknowledged"
            if target
            else "no replica has all that was acknowledged",
            try_="wait until millions status says ready, then again",
        )
    return former


def _settled(desired: Desired, target: str | None) -> tuple[members.Member, ...]:
    """The members, once somebody leads and who is to follow is complete, or as they are by then.

    Soon after a failover the replicas are not complete for a few seconds.
    """
    deadline = time.monotonic() + COMPLETE_WITHIN_S
    while True:
        found = members.confirmed(desired, members.members(desired))
        able = any(each.complete and target in (None, each.name) for each in found)
        named = target is None or any(each.name == target for each in found)
        if (members.leader(found) and able) or not named or members.leader(found) == target:
            return found
        if time.monotonic() > deadline:
            return found
        time.sleep(LOOK_S)


def _unit(desired: Desired, name: str) -> Unit:
    return next(each for each in desired.units if each.name == name)


async def _checkpoint(state: StateFolder, unit: Unit) -> None:
    """Let the primary write its memory down before it stops, so that the stop is short."""
    await _ask(state, unit, "CHECKPOINT")


async def _takes_writes(state: StateFolder, unit: Unit) -> bool:
    """Whether a member that leads has been promoted, as its own server says."""
    try:
        return await _ask(state, unit, "SELECT pg_is_in_recovery()") is False
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def _ask(state: StateFolder, unit: Unit, statement: str) -> Any:
    if unit.address is None:
        return None
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        host=unit.address.host,
        port=unit.address.port,
        user=patroni.ADMINISTRATION_ROLE,
        password=_secret(state, unit, "PATRONI_SUPERUSER_PASSWORD"),
        database="postgres",
        ssl=False,
        timeout=members.ANSWER_WITHIN_S,
    )
    try:
        return await connection.fetchval(statement, timeout=CHECKPOINT_WITHIN_S)
    finally:
        await connection.close()


def _secret(state: StateFolder, unit: Unit, variable: str) -> str:
    """The secret that the unit finds in a variable."""
    name = dict(unit.secret_environment)[variable]
    return (state.secrets / name).read_text(encoding="utf-8").strip()


def _stop(state: StateFolder, unit: Unit) -> None:
    """Stop its server cleanly; the supervisor gives the leadership free when it has ended."""
    daemon = pidfiles.living(state, unit)
    if daemon is None or not processes.send(daemon, signal.SIGINT):
        raise MachineError(
            cannot=f"stop {unit.name}", because="its server does not run", try_="millions status"
        )


def _hand_to(state: StateFolder, unit: Unit, target: str) -> None:
    """Let Patroni hand over to the one that is named."""
    if unit.probe is None:
        return
    password = _secret(state, unit, "PATRONI_RESTAPI_PASSWORD")
    token = base64.b64encode(f"{patroni.API_USER}:{password}".encode()).decode()
    document = {"leader": unit.name, "candidate": target}
    try:
        members.post(unit.probe.address, "/switchover", document, authorization=f"Basic {token}")
    except OSError as error:
        raise UnitFailedError(
            cannot=f"let {target} lead", because=str(error), try_="millions switchover"
        ) from error


def _followed(state: StateFolder, desired: Desired, former: str, target: str | None) -> str:
    """Wait until another one leads and takes writes; its name (blocking, bounded)."""
    if former == target:
        return former
    deadline = time.monotonic() + FOLLOWED_WITHIN_S
    while time.monotonic() < deadline:
        leads = members.leader(members.members(desired))
        is_new = leads not in {"", former}
        if is_new and asyncio.run(_takes_writes(state, _unit(desired, leads))):
            return leads
        time.sleep(LOOK_S)
    raise UnitFailedError(
        cannot="switch over",
        because=f"nobody else led within {FOLLOWED_WITHIN_S:g} s",
        try_="millions status",
    )
