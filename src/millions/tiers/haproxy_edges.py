"""What HAProxy is told of edges: which requests go by them, and what it answers when they ask it.

Pure text. An edge that does not answer is routed around: another one is asked, then the web
servers.

Source: the HAProxy 2.6 configuration manual; docs/decisions/0016-edges.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millions.model import Address

INDEX = 3
"""The third byte of the balancer's own address, where edges ask it."""

ORIGIN_PORT = 8405
EDGES = "edges"
SECRET_VARIABLE = "MILLIONS_EDGE_SECRET"  # noqa: S105  # the name of a variable
SECRET_HEADER = "X-Millions-Edge"  # noqa: S105  # the name of a header
"""Balancer and edges know each other by it; nobody else is answered."""

INTERNAL = ("Surrogate-Key", "CDN-Cache-Control")
"""Headers that are said to edges and not to people."""

FIRST_ID = 1_000
"""Numbers of edges for the hash: the same path goes to the same edge, also after a reload."""

CHECKED = (
    "check inter 500ms fastinter 20ms downinter 500ms fall 2 rise 1 "
    "observe layer4 error-limit 1 on-error sudden-death tcp-ut 2s"
)
"""Two missing answers take an edge out, in about a second; after a refused connection one does, in
20 ms. What waits for an edge is asked elsewhere as soon as its connection ends: the kernel ends
those of a dead one, the supervisor kills one that hangs, and TCP gives up one that is cut off after
two to three seconds (`tcp-ut`, which a HAProxy that runs refuses: it reads it from its file alone).
HAProxy breaks nothing off when it takes an edge out (shutdown-sessions): a request that is
connecting at that moment would have no answer."""

CUT_OFF = (
    "    option srvtcpka",
    "    srvtcpka-idle 1s",
    "    srvtcpka-intvl 1s",
    "    srvtcpka-cnt 2",
)
"""When nothing more is sent, TCP asks the other side every second whether it is there."""

TRIES = 1_000
"""When all edges die at once, a request tries them in turn until the check has taken them out; then
the web servers are asked. Ten tries were used up in 3 ms."""

CONNECT_MS = 250
"""Also how long a request pauses before it tries the last edge that is left again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Beginnings of paths: `shared` whatever the cookies, `pages` without, `around` never."""

    shared: tuple[str, ...]
    pages: tuple[str, ...]
    around: tuple[str, ...]


def options(source: str, number: int) -> str:
    """What is said of an edge in the pool; `source` is the address that we ask it from."""
    return f"id {FIRST_ID + number} {CHECKED} pool-purge-delay 2s source {source}"


def routing(delivery: Delivery) -> list[str]:
    """Lines of the public frontend, after its refusals: reading requests go by edges."""
    anonymous = "!{ req.hdr(cookie) -m found } !{ req.hdr(authorization) -m found }"
    lines = ["    http-request del-header X-Millions- -m beg"]
    if delivery.shared:
        lines += [
            f"    acl edge_shared path_beg {' '.join(delivery.shared)}",
            "    http-request set-var(txn.edge) bool(true) if METH_GET edge_shared",
            "    http-request del-header Cookie if METH_GET edge_shared",
            "    http-request del-header Authorization if METH_GET edge_shared",
        ]
    if delivery.pages:
        lines += [
            f"    acl edge_pages path_beg {' '.join(delivery.pages)}",
            (
                "    http-request set-var(txn.edge) bool(true) "
                f"if METH_GET edge_pages {anonymous} !{{ req.hdr(upgrade) -m found }}"
            ),
        ]
    if delivery.around:
        lines += [
            f"    acl edge_around path_beg {' '.join(delivery.around)}",
            "    http-request set-var(txn.edge) bool(false) if edge_around",
        ]
    lines += [f"    http-response del-header {each}" for each in INTERNAL]
    return [*lines, f"    use_backend {EDGES} if {{ var(txn.edge) -m bool }}"]


def edges(origin: Address) -> list[str]:
    """The section of the edges themselves, which are asked before the `origin`."""
    return [
        f"backend {EDGES}",
        "    balance uri",
        "    hash-type consistent",
        "    option httpchk",
        "    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host millions",
        "    http-check expect status 200",
        "    timeout check 500ms",
        f"    retries {TRIES}",
        "    option redispatch -1",
        f"    timeout connect {CONNECT_MS}ms",
        *CUT_OFF,
        f'    http-request set-header {SECRET_HEADER} "${{{SECRET_VARIABLE}}}"',
        "{servers edges}",
        f"    server origin {origin} backup",
    ]


def asked(origin: Address, log_format: str) -> list[str]:
    """The section that answers edges at `origin`.

    It stays without edges: a worker that drains since the file was read anew may still ask them,
    and goes there when they are gone.
    """
    return [
        "frontend origin",
        f"    bind {origin}",
        "    option dontlog-normal",
        "    option dontlognull",
        f"    log-format '{log_format}'",
        f'    acl edge req.hdr({SECRET_HEADER}) -m str "${{{SECRET_VARIABLE}}}"',
        (
            "    http-request return status 403 content-type text/plain "
            'string "cannot accept this request\\n" unless edge'
        ),
        "    http-request del-header X-Millions- -m beg",
        "    http-request set-var(txn.id) req.hdr(x-request-id)",
        "    http-request set-var(txn.shared) bool(true)",
        "    default_backend web",
    ]
