"""Mending: a replica that can follow no more is copied anew. A thread beside Patroni.

Patroni rewinds a replica that went another way, but one for which the primary has no WAL any more
it lets ask for ever. Never touches a member that leads, or any while nobody leads.

Source: Patroni 4.1's REST API (`/reinitialize`).
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
from dataclasses import dataclass
from typing import Any, cast

LOOK_S = 5.0
STUCK_S = 30.0
"""How long a replica may stand still beside a primary that runs. After a failover the others follow
the new one within a few seconds."""

ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the member's own Patroni answers, and as whom it is told to copy."""

    host: str
    port: int
    user: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where a replica stood still at `position`, and for how long; 0 when it does not."""

    position: str = ""
    still_s: float = 0.0


def begin(place: Place) -> None:
    """Mend for as long as this process lives."""
    threading.Thread(target=_mend, args=(place,), name="mending", daemon=True).start()


def after(before: Stand, member: dict[str, Any], cluster: dict[str, Any]) -> Stand:
    """What one more look says of a replica."""
    leads = any(
        each.get("role") == "leader" and each.get("state") == "running"
        for each in cluster.get("members", ())
    )
    follows = member.get("replication_state") == "streaming"
    if member.get("role") != "replica" or member.get("state") != "running" or follows or not leads:
        return Stand()
    position = json.dumps(member.get("xlog", {}).get("replayed_location"))
    still_s = before.still_s + LOOK_S if position == before.position else 0.0
    return Stand(position=position, still_s=still_s)


def _mend(place: Place) -> None:
    stand, pause = Stand(), threading.Event()
    while not pause.wait(LOOK_S):
        try:
            stand = after(stand, _ask(place, "/patroni"), _ask(place, "/cluster"))
            if stand.still_s >= STUCK_S:
                print("follows nobody any more: it is copied anew", flush=True)  # noqa: T201  # its log
                _ask(place, "/reinitialize", {"force": True})
                stand = Stand()
        except (OSError, http.client.HTTPException, ValueError):
            stand = Stand()


def _ask(place: Place, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(place.host, place.port, timeout=ANSWER_WITHIN_S)
    try:
        if document is None:
            connection.request("GET", path)
        else:
            token = base64.b64encode(f"{place.user}:{place.password}".encode()).decode()
            headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(document), headers)
        text = connection.getresponse().read().decode(errors="replace")
        answer: Any = json.loads(text) if document is None else {}
        return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    finally:
        connection.close()
