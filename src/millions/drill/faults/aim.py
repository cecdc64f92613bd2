"""Aims: which units of the running stack a fault is meant for, and which processes those are.

Found through the stack's own documents and by what its processes carry, never by a program's name;
a process of another stack, or a person's, is never found.

    web.2              one unit                 web          the first unit of a tier that is ready
    web.*              all units of a tier      server:NAME  all units on that server
    primary, replica, replica.*                 primary-server, leader (of the consensus)
    supervisor                                  primary:daemon, primary:agent   a part of a unit
    store:leader             the unit of a tier whose servers elect one that says so itself
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from millions.errors import MachineError, MillionsError
from millions.runtime import belonging, etcd, processes, supervisor

if TYPE_CHECKING:
    from millions.drill.stage import Stage
    from millions.model import Lease, Probe, Unit
    from millions.runtime.processes import Identity

SUPERVISOR = "supervisor"
PARTS = ("", "daemon", "agent")
ANSWER_WITHIN_S = 1.0
ANSWER_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Units by name, and which part of them: '' (everything), daemon or agent."""

    text: str
    units: tuple[str, ...]
    part: str = ""

    def __str__(self) -> str:
        named = ", ".join(self.units)
        return named + (f":{self.part}" if self.part else "")


def find(stage: Stage, text: str) -> Aim:
    """Find what `text` means now (blocking). Raise MachineError when it means nothing here."""
    place, _, part = text.partition(":")
    if place == "server":
        return Aim(text=text, units=_on_server(stage, part, text))
    if part == "leader":
        return Aim(text=text, units=(_leading(stage, place, text),))
    if part not in PARTS:
        raise _nothing(stage, text, f"{part!r} is neither daemon nor agent")
    if place == SUPERVISOR:
        return Aim(text=text, units=(SUPERVISOR,))
    return Aim(text=text, units=_units(stage, place, text), part=part)


def _units(stage: Stage, place: str, text: str) -> tuple[str, ...]:
    units = stage.desired().units
    names = [each.name for each in units]
    if place in names:
        return (place,)
    if place == "primary":
        return (primary(stage).name,)
    if place == "primary-server":
        unit = primary(stage)
        return _on_server(stage, unit.server or unit.name, text)
    if place in ("replica", "replica.*"):
        leading = primary(stage)
        found = [each.name for each in units if each.group == leading.group and each != leading]
        return _some(stage, found, text, every=place.endswith("*"))
    if place == "leader":
        return (_leader(stage, text),)
    tier, every = place.removesuffix(".*"), place.endswith(".*")
    return _some(stage, [each.name for each in units if each.tier == tier], text, every=every)


def _some(stage: Stage, names: list[str], text: str, *, every: bool) -> tuple[str, ...]:
    if not names:
        raise _nothing(stage, text, "the stack has none")
    if every:
        return tuple(names)
    status = stage.status()
    units = status.units if status is not None else ()
    ready = {each.name for each in units if each.phase == "ready"}
    return (next((name for name in names if name in ready), names[0]),)


def _on_server(stage: Stage, server: str, text: str) -> tuple[str, ...]:
    found = [each.name for each in stage.desired().units if (each.server or each.name) == server]
    return _some(stage, found, text, every=True)


def primary(stage: Stage) -> Unit:
    """The unit that takes writes now (blocking): who holds the lease, or the one that could."""
    units = stage.desired().units
    leased = [each for each in units if each.lease is not None]
    if leased:
        holder = _holder(stage, leased[0].lease)
        for each in leased:
            if each.lease is not None and each.lease.holder == holder:
                return each
        raise _nothing(stage, "primary", "nobody leads at this moment")
    alone = next((each for each in units if each.holds_data), None)
    if alone is None:
        raise _nothing(stage, "primary", "no unit of the stack holds data")
    return alone


def _holder(stage: Stage, lease: Lease | None) -> str | None:
    if lease is None:
        return None
    service = etcd.Service(
        servers=lease.servers,
        ca=_path(stage, lease.ca),
        certificate=_path(stage, lease.certificate),
        key_file=_path(stage, lease.key_file),
    )
    return etcd.get(service, lease.key)


def _leader(stage: Stage, text: str) -> str:
    """The member of the consensus that leads it."""
    units = stage.desired().units
    lease = next((each.lease for each in units if each.lease is not None), None)
    if lease is None:
        raise _nothing(stage, text, "the stack has no consensus")
    context = ssl.create_default_context(cafile=_path(stage, lease.ca))
    context.load_cert_chain(_path(stage, lease.certificate), _path(stage, lease.key_file))
    for server in lease.servers:
        connection = http.client.HTTPSConnection(
            server.host, server.port, timeout=ANSWER_WITHIN_S, context=context
        )
        try:
            connection.request("POST", "/v3/maintenance/status", b"{}")
            found = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            continue
        finally:
            connection.close()
        if found.get("leader") == found.get("header", {}).get("member_id"):
            return next(
                each.name for each in units if each.address and each.address.host == server.host
            )
    raise _nothing(stage, text, "no member of the consensus says that it leads")


def _leading(stage: Stage, tier: str, text: str) -> str:
    """The unit of a tier that says, when its probe asks, that it leads."""
    for unit in stage.desired().units:
        if unit.tier == tier and unit.probe is not None and _says_that_it_leads(unit.probe):
            return unit.name
    raise _nothing(stage, text, f"no unit of {tier} says that it leads")


def _says_that_it_leads(probe: Probe) -> bool:
    answer = b""
    try:
        with socket.create_connection(
            (probe.address.host, probe.address.port), ANSWER_WITHIN_S
        ) as asked:
            asked.sendall(probe.send)
            while len(answer) < ANSWER_BYTES_MAX and (part := asked.recv(ANSWER_BYTES_MAX)):
                answer += part
        found: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found.get("leads") is True
    except (OSError, ValueError, AttributeError):
        return False


def _path(stage: Stage, text: str) -> str:
    return text.replace("{secrets}", str(stage.state.secrets))


def members(stage: Stage, aim: Aim) -> tuple[Identity, ...]:
    """Every process that is meant (blocking); none when they are all dead."""
    if aim.units == (SUPERVISOR,):
        pid = supervisor.running(stage.state)
        found = processes.identify(pid) if pid is not None else None
        return (found,) if found is not None else ()
    if aim.part == "daemon":
        return tuple(each for name in aim.units for each in _daemon(stage, name))
    if aim.part == "agent":
        return _agents(stage, aim)
    return tuple(each.identity for each in belonging.members(stage.state) if each.unit in aim.units)


def _agents(stage: Stage, aim: Aim) -> tuple[Identity, ...]:
    status = stage.status()
    pids = [each.pid for each in status.units if each.name in aim.units] if status else []
    found = (processes.identify(pid) for pid in pids if pid is not None)
    return tuple(each for each in found if each is not None)


def _daemon(stage: Stage, name: str) -> tuple[Identity, ...]:
    """The process that the unit's own one started, with its children."""
    unit = next(each for each in stage.desired().units if each.name == name)
    if not unit.daemon:
        raise _nothing(stage, f"{name}:daemon", f"{name} has no process beside its own")
    file = Path(unit.daemon.replace("{data}", str(stage.state.unit(name) / "data")))
    try:
        pid = int(file.read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return ()
    found = (processes.identify(each) for each in (pid, *processes.descendants(pid)))
    return tuple(each for each in found if each is not None)


def _nothing(stage: Stage, text: str, because: str) -> MillionsError:
    names = [each.name for each in stage.desired().units]
    return MachineError(
        cannot=f"aim at {text}",
        because=because,
        try_=f"one of {', '.join([*names, 'primary', SUPERVISOR])}",
    )
