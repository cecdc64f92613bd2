"""Asking etcd: read, write and delete keys, and give a leadership free. Blocking, bounded.

It decides nothing. Each question goes to the members in turn until one answers.

Source: etcd 3.4's gRPC gateway (`/v3/kv/…`, JSON with base64 inside).
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from millions.errors import ConsensusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millions.model import Address

ANSWER_WITHIN_S = 1.0
"""A healthy member answers in a few milliseconds, one without a majority not at all."""

ROUNDS = 2
"""How often all members are asked: while they elect a leader of their own, none may answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where etcd is and with which certificate it is asked; the files are absolute paths."""

    servers: tuple[Address, ...]
    ca: str
    certificate: str
    key_file: str


def get(service: Service, key: str) -> str | None:
    """The value of `key`; None when there is none. Raise ConsensusError when nobody answers."""
    found = _ask(service, "range", {"key": _encoded(key)}).get("kvs", [])
    return base64.b64decode(found[0].get("value", "")).decode() if found else None


def put(service: Service, key: str, value: str) -> None:
    """Write `value` at `key`. Raise ConsensusError when nobody answers."""
    _ask(service, "put", {"key": _encoded(key), "value": _encoded(value)})


def delete_below(service: Service, prefix: str) -> None:
    """Delete every key that begins with `prefix`. Raise ConsensusError when nobody answers."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    _ask(service, "deleterange", {"key": _encoded(prefix), "range_end": _encoded(end)})


def delete_if(service: Service, key: str, value: str) -> bool:
    """Delete `key` if it still has `value`, in one step; whether it had.

    Raise ConsensusError when nobody answers; asking again does no harm.
    """
    condition = {
        "target": "VALUE",
        "result": "EQUAL",
        "key": _encoded(key),
        "value": _encoded(value),
    }
    deed = {"requestDeleteRange": {"key": _encoded(key)}}
    return bool(
        _ask(service, "txn", {"compare": [condition], "success": [deed]}).get("succeeded", False)
    )


def _ask(service: Service, verb: str, question: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(question)
    said = "it has no members"
    for address in _turns(service):
        try:
            return _answer(service, address, verb, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = f"{address}: {error or type(error).__name__}"
    raise ConsensusError(
        cannot="ask the consensus",
        because=f"no member answered; the last one, {said}",
        try_="millions status",
    )


def _turns(service: Service) -> Iterator[Address]:
    for _round in range(ROUNDS):
        yield from service.servers


def _answer(service: Service, address: Address, verb: str, body: str) -> dict[str, Any]:
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=ANSWER_WITHIN_S, context=_context(service)
    )
    try:
        connection.request("POST", f"/v3/kv/{verb}", body)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status != http.client.OK:
            raise ValueError(str(answer.get("error", response.status)))
        return answer
    finally:
        connection.close()


@cache
def _context(service: Service) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=service.ca)
    context.load_cert_chain(service.certificate, service.key_file)
    return context


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
