"""The members of a database that has replicas: who leads, and who is complete. Asks, bounded."""

from __future__ import annotations

import dataclasses
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millions.errors import NotRunningError

if TYPE_CHECKING:
    from millions.model import Address, Unit
    from millions.runtime.desired import Desired

ANSWER_WITHIN_S = 2.0
COMPLETE_ROLES = ("quorum_standby", "sync_standby")
"""What a replica is called whose acknowledgement counts: it has all that was acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member as the cluster sees it. `complete` replicas may lead without losing anything."""

    name: str
    leads: bool
    complete: bool


def units(desired: Desired | None) -> tuple[Unit, ...]:
    """The units that hold a lease together: the members."""
    return tuple(each for each in (desired.units if desired else ()) if each.lease is not None)


def members(desired: Desired | None) -> tuple[Member, ...]:
    """The members, as the first one that answers says. Raise NotRunningError when none does."""
    for unit in units(desired):
        if unit.probe is None:
            continue
        try:
            return parse(_get(unit.probe.address, "/cluster"))
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            continue
    raise NotRunningError(
        cannot="ask the members of the database", because="none answers", try_="millions status"
    )


def parse(text: str) -> tuple[Member, ...]:
    """Read what Patroni says of its cluster."""
    return tuple(
        Member(
            name=each["name"],
            leads=each["role"] == "leader",
            complete=each["role"] in COMPLETE_ROLES and each["state"] == "streaming",
        )
        for each in json.loads(text)["members"]
    )


def confirmed(desired: Desired | None, found: tuple[Member, ...]) -> tuple[Member, ...]:
    """The same, where only those replicas count as complete that say so themselves now.

    What the cluster says of a member that has died or stands still is some seconds old.
    """
    addresses = {each.name: each.probe.address for each in units(desired) if each.probe}
    return tuple(
        dataclasses.replace(each, complete=each.complete and _is_complete(addresses[each.name]))
        for each in found
    )


def _is_complete(address: Address) -> bool:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/quorum")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def leader(found: tuple[Member, ...]) -> str:
    """The name of the member that leads; '' when none does."""
    return next((each.name for each in found if each.leads), "")


def post(address: Address, path: str, document: dict[str, str], *, authorization: str) -> str:
    """Send a document; what was answered. OSError when nobody answers (within a minute)."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=60.0)
    try:
        headers = {"Content-Type": "application/json", "Authorization": authorization}
        connection.request("POST", path, json.dumps(document), headers)
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
        if response.status != http.client.OK:
            raise OSError(f"{address} answered {response.status}: {said}")
        return said
    finally:
        connection.close()


def _get(address: Address, path: str) -> str:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
