"""Balancer: the only public address; it shares requests among the web servers.

Runs: `haproxy`, a master and its worker, on listening sockets that the supervisor holds.
Gives: to `web` of the directory, whose word about a client is believed, and whether it is HTTPS.
Source: HAProxy; what was measured of it is in docs/decisions/0011-balancer.md.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from millions.errors import StackFileError
from millions.model import Address, Certificate, File, Limits, Pool, Probe, Server, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses, edge, haproxy, haproxy_edges, web
from millions.tiers.kind import Context, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.directory import WebPlace

INDEX = haproxy_edges.INDEX
PRIVATE_PORT = 8404
"""For /readyz and /metrics; the port that HAProxy's own documents use for its statistics."""

UNIT = "balancer.1"
SOCKET = f"{{run}}/{UNIT}.sock"
MADE_HERE = "balancer"
"""The name of the certificate that is made here when the stack file names none."""

START_WITHIN_S = 20.0
"""It took 0.1 s here."""

KILLED_WITHIN_S = 5.0
ROOM = 4
"""Requests that a web server may have under way for each that it is meant to have, where their
number follows the load: what is more waits here, so that a server that joins gets it."""

FILES_BESIDE_CONNECTIONS = 256
FILES_PER_CONNECTION = 2
ASK = b"GET /readyz HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class Balancer(Table):
    """The load balancer before the web servers: HAProxy."""

    listen: str = setting(
        "",
        "Address and port that people connect to by HTTP; without it that of [web].",
        example="0.0.0.0:80",
    )
    https: str = setting(
        "",
        "Address and port that people connect to by HTTPS; without it there is no HTTPS.",
        example="0.0.0.0:443",
    )
    certificate: str = setting(
        "",
        "PEM file with your certificate, the ones it is signed by, and its key; relative to this "
        "file. Without it one is made here, which browsers warn of.",
        example="/etc/letsencrypt/live/photos.example/fullchain.pem",
    )
    key: str = setting(
        "",
        "PEM file with the key of the certificate, when that is another file.",
        example="/etc/letsencrypt/live/photos.example/privkey.pem",
    )
    hosts: list[str] = setting(
        ["localhost", "127.0.0.1"],
        "Names and addresses that the certificate made here is for.",
        example=["photos.internal"],
    )
    redirect: bool = setting(
        default=True, sentence="Whether HTTP is redirected to HTTPS, where there is HTTPS."
    )
    hsts_s: int = setting(
        31_536_000,
        "How long browsers are to use HTTPS only, once they came by it with a certificate of "
        "yours; 0 says nothing about it.",
        unit="seconds",
        bounds=(0, 63_072_000),
    )
    challenges: str = setting(
        "",
        "Where a program that renews certificates (certbot, lego) answers the challenges of the "
        "certificate authority.",
        example="127.0.0.1:8402",
    )
    balance: Literal["leastconn", "roundrobin"] = setting(
        "leastconn",
        "Which web server gets a request: the one with the fewest under way, or each in turn.",
    )
    sticky: bool = setting(
        default=False,
        sentence="Whether a browser stays at the web server that answered it first, by a cookie.",
    )
    connections: int = setting(
        4_000,
        "How many connections are open at a time; more wait.",
        unit="connections",
        bounds=(100, 1_000_000),
    )
    server_connections: int = setting(
        500,
        "How many requests, WebSockets included, one web server has under way; more wait here. "
        f"Where this is not said and their number follows the load, {ROOM} times "
        "[web] server_requests.",
        unit="connections",
        bounds=(1, 100_000),
    )
    queue_s: int = setting(
        10,
        "How long a request waits for a web server to have room; then it is answered with 503.",
        unit="seconds",
        bounds=(1, 300),
    )
    connections_per_address: int = setting(
        200,
        "How many connections one address may have open; 0 sets no limit. More are answered with "
        "429, more than twice as many are refused.",
        unit="connections",
        bounds=(0, 100_000),
    )
    requests_per_s: int = setting(
        100,
        "How many requests a second one address may make, over ten seconds; 0 sets no limit. More "
        "are answered with 429 and Retry-After.",
        unit="requests a second",
        bounds=(0, 1_000_000),
    )
    exempt: list[str] = setting(
        ["127.0.0.1"],
        "Addresses and networks that the limits per address do not hold for: this server itself.",
        example=["127.0.0.1", "10.0.0.0/8"],
    )
    max_header_kib: int = setting(16, "The largest head of a request.", unit="KiB", bounds=(4, 64))
    max_url_bytes: int = setting(8_192, "The longest URL.", unit="bytes", bounds=(256, 16_384))
    repeat_kib: int = setting(
        64,
        "Up to which size a request is held back whole, so that another web server can be asked "
        "when one dies. A reading request, or one with an Idempotency-Key, is repeated.",
        unit="KiB",
        bounds=(16, 1_024),
    )
    request_s: int = setting(
        10,
        "How long the head of a request may take to arrive, and the first part of its body.",
        unit="seconds",
        bounds=(1, 300),
    )
    idle_s: int = setting(
        10,
        "How long a connection is kept open for the next request.",
        unit="seconds",
        bounds=(1, 300),
    )
    answer_s: int = setting(
        60,
        "How long a web server may take to answer, and how long either side may pause.",
        unit="seconds",
        bounds=(1, 86_400),
    )
    tunnel_s: int = setting(
        3_600,
        "How long a WebSocket may be silent.",
        unit="seconds",
        bounds=(1, 86_400),
    )
    drain_s: int = setting(
        30,
        "How long requests under way may go on after a change of these settings, and when it "
        "stops.",
        unit="seconds",
        bounds=(1, 3_600),
    )
    threads: int = setting(
        1,
        "How many processors it uses; one answers some 20,000 requests a second.",
        unit="threads",
        bounds=(1, 64),
    )
    bin: str = setting(
        "",
        "Folder of the program haproxy, when it is not where systems keep it.",
        example="/opt/haproxy/sbin",
    )
    log_mib: int = setting(
        64, "How much of its log is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("listen", "https", "challenges")
    @classmethod
    def _listen(cls, value: str) -> str:
        if value:
            addresses.listen(value)
        return value

    @field_validator("exempt")
    @classmethod
    def _exempt(cls, value: list[str]) -> list[str]:
        for each in value:
            try:
                ipaddress.IPv4Network(each)
            except ValueError as error:
                raise ValueError(f"IPv4 addresses or networks, which {each!r} is not") from error
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        if not value or not all(HOST.fullmatch(each) for each in value):
            raise ValueError('names or addresses of hosts, such as "photos.example"')
        return value

    @field_validator("bin")
    @classmethod
    def _bin(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("the absolute path of a folder, such as /usr/sbin")
        return value


HAPROXY = EngineNeed(
    name="haproxy",
    program="haproxy",
    lowest=2,
    bin_setting="bin",
    version_option="-v",
    install="apt-get install haproxy",
)


def listens(context: Context) -> tuple[Address, ...]:
    """The public addresses: HTTP, and HTTPS where it is wanted."""
    balancer = context.table("balancer", Balancer)
    http = balancer.listen or context.table("web", web.Web).listen
    return tuple(addresses.listen(each) for each in (http, balancer.https) if each)


def units(context: Context) -> tuple[Unit, ...]:
    """One HAProxy. It reads its file anew on SIGUSR2; web servers come and go without that."""
    balancer, places = context.table("balancer", Balancer), context.places
    private = addresses.private(places.network, INDEX, 1, PRIVATE_PORT)
    unit = Unit(
        name=UNIT,
        tier="balancer",
        command=(
            f"{places.engine(HAPROXY.name).folder}/haproxy",
            *("-W", "-f", "{folder}/haproxy.cfg"),
        ),
        files=(File(path="haproxy.cfg", content=_file(context, private)),),
        address=private,
        public=listens(context),
        probe=Probe(address=private, send=ASK, expect=b"HTTP/1.1 200", within_s=START_WITHIN_S),
        stop=(
            StopStep(signal="SIGUSR1", wait_s=float(balancer.drain_s)),
            StopStep(signal="SIGTERM", wait_s=KILLED_WITHIN_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        secret_environment=edge.SECRETS,
        needs=(web.GROUP,),
        limits=Limits(
            open_files=(balancer.connections + haproxy.BESIDE_CONNECTIONS) * FILES_PER_CONNECTION
            + FILES_BESIDE_CONNECTIONS,
            log_mib=balancer.log_mib,
        ),
        reload="SIGUSR2",
        pool=Pool(
            socket=SOCKET,
            backend=haproxy.BACKEND,
            options=haproxy.server_options(private.host, _room(context)),
            servers=(
                *(Server(unit=name, address=each) for name, each in web.served(context).items()),
                *edge.served(context, private.host),
            ),
        ),
    )
    return (unit,)


def _room(context: Context) -> int:
    """How many requests one web server has under way at most."""
    balancer = context.table("balancer", Balancer)
    if "server_connections" in balancer.model_fields_set or not web.counted(context).follows:
        return balancer.server_connections
    return ROOM * context.table("web", web.Web).server_requests


def shared(unit: Unit, server: str, percent: float) -> Unit:
    """Answer the unit so that `server` gets `percent` of the requests, at most its even share."""
    pool = unit.pool
    others = sum(not each.backend for each in pool.servers) - 1 if pool is not None else 0
    if pool is None or others < 1:  # nothing to share
        return unit
    share = min(percent / 100, 1 / (others + 1))
    weight = max(1, round(share * haproxy.EVEN_WEIGHT * others / (1 - share)))
    servers = tuple(
        dataclasses.replace(each, weight=weight if each.unit == server else each.weight)
        for each in pool.servers
    )
    files = tuple(
        dataclasses.replace(each, content=haproxy.by_weight(each.content)) for each in unit.files
    )
    return dataclasses.replace(unit, files=files, pool=dataclasses.replace(pool, servers=servers))


def gives(context: Context) -> Mapping[str, Any]:
    """Whom the web servers believe, and whether people come by HTTPS only."""
    balancer = context.table("balancer", Balancer)
    place: WebPlace = web.gives(context)["web"]
    source = addresses.private(context.places.network, INDEX, 1, PRIVATE_PORT).host
    secure = place.secure or bool(balancer.https and balancer.redirect)
    return {"web": dataclasses.replace(place, secure=secure, trusted=source)}


def certificates(context: Context) -> tuple[Certificate, ...]:
    """One of our own where HTTPS is wanted without one of yours."""
    balancer = context.table("balancer", Balancer)
    if not balancer.https or balancer.certificate:
        return ()
    return (Certificate(name=MADE_HERE, hosts=tuple(balancer.hosts)),)


def check(context: Context, read: ReadData) -> None:  # noqa: ARG001  # the shape of Check
    """Refuse addresses that meet each other."""
    balancer = context.table("balancer", Balancer)
    both = listens(context)
    if len(both) == 2 and both[0].port == both[1].port:  # noqa: PLR2004  # HTTP and HTTPS
        raise StackFileError(
            cannot=f"listen on {both[0]} for HTTP and on {both[1]} for HTTPS",
            because=f"both are port {both[0].port}",
            try_='[balancer] https = "0.0.0.0:443"',
        )
    if balancer.key and not balancer.certificate:
        raise StackFileError(
            cannot=f"use the key {balancer.key}",
            because="[balancer] names no certificate that it belongs to",
            try_='certificate = "fullchain.pem"',
        )


def _file(context: Context, private: Address) -> str:
    balancer = context.table("balancer", Balancer)
    rules = haproxy.Rules(
        socket=SOCKET,
        private=private,
        origin=edge.origin(context),
        secured=_secured(context),
        max_body_mib=context.table("web", web.Web).max_body_mib,
        exempt=tuple(balancer.exempt),
        delivery=edge.delivery(context),
        **{name: getattr(balancer, name) for name in haproxy.TAKEN_OVER},
    )
    return haproxy.configuration(rules)


def _secured(context: Context) -> haproxy.Secured | None:
    balancer, places = context.table("balancer", Balancer), context.places
    if not balancer.https:
        return None
    own = dict(places.certificates).get("balancer", "")
    return haproxy.Secured(
        certificate=own or places.secret(f"{MADE_HERE}.bundle.pem"),
        port=addresses.listen(balancer.https).port,
        redirect=balancer.redirect,
        hsts_s=balancer.hsts_s if own else 0,
    )


TIER = Tier(
    name="balancer",
    index=INDEX,
    rung=3,
    settings=Balancer,
    units=units,
    check=check,
    gives=gives,
    needs=(HAPROXY,),
    certificates=certificates,
    share=shared,
    secrets=(edge.SECRET,),
)
