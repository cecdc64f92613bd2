"""Edge: what is the same for everybody, kept near the people who ask for it.

Runs: `varnishd`, one a server, each on a private address behind the balancer; without admin socket.
Gives: `edge` of the directory, which says where a purge is sent.
Source: Varnish 7.1; what was measured of it is in docs/decisions/0016-edges.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.directory import AssetsPlace, EdgePlace, Endpoint
from millions.errors import StackFileError
from millions.model import Address, File, Limits, Probe, Server, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses, haproxy_edges, varnish
from millions.tiers.kind import Context, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 16
RUNG = 6
GROUP = "edge"
SECRET = "edge"  # noqa: S105  # the name of a file
SECRETS = ((haproxy_edges.SECRET_VARIABLE, SECRET),)
"""What balancer and edges know each other by. The balancer has it without edges too: it is the same
process when they come and go, and reads its file anew."""

SERVERS_MAX = 50
PORT = 8000
"""Where an edge answers the balancer, and a purge."""

FILES = "/files/"
"""Uploaded files: whoever has the signed URL may have them, whatever cookies are sent along."""

ASSETS = "/assets/"
"""Static files of the application, where it has a folder of them."""

LOG_MIB = 16
"""In memory: the last requests, about 20,000 of them, for reports."""

IN_FLIGHT_SHARE = 4
"""A quarter of the memory again may hold what passes through and is not kept."""

IN_FLIGHT_MIB = 32
THREADS_MIN = 20
THREADS_MAX = 2_000
"""A request that waits for the application keeps a thread."""

START_WITHIN_S = 60.0
"""It compiles its configuration: 2 s here, ten times that on a busy machine."""

STOP_S = 5.0
ASKED_EVERY_S = 0.5
ANSWER_WITHIN_S = 0.5
HUNG_AFTER = 3
"""Questions without an answer: one that hangs is killed after two seconds, and what waits for it is
asked elsewhere. It loses what it keeps, which can be had again."""

ASK = b"GET /readyz HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"
NETWORK = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9/._~-]*)?")
PREFIX = re.compile(r"/[A-Za-z0-9/._~-]*")


class Edge(Table):
    """Edges before the web servers: Varnish, behind the balancer; or a delivery network."""

    servers: int = setting(
        2,
        "How many edges there are. Below rung 6 there are none unless it stands here.",
        unit="servers",
        bounds=(0, SERVERS_MAX),
    )
    memory_mib: int = setting(
        256,
        "Memory for what one edge keeps; the least recently used go first. A quarter more is for "
        "what passes through.",
        unit="MiB",
        bounds=(16, 1_048_576),
    )
    object_mib: int = setting(16, "The largest answer that is kept.", unit="MiB", bounds=(1, 4_096))
    pages: list[str] = setting(
        ["/"],
        "Beginnings of paths that edges are asked for by who has no cookie; what the application "
        "does not mark as cacheable is passed on. [] leaves pages to the web servers.",
        example=["/", "/explore"],
    )
    shared: list[str] = setting(
        [],
        "Beginnings of paths whose answers are the same whatever cookies are sent: cookies are "
        "removed there. Assets and files are among them without being named.",
        example=["/media/"],
    )
    around: list[str] = setting(
        [],
        "Beginnings of paths that edges are never asked for: an interface for programs, large "
        "downloads.",
        example=["/api/"],
    )
    revalidate_s: int = setting(
        10,
        "How long after its time an answer is still given while a fresh one is fetched, where the "
        "application does not say (stale-while-revalidate).",
        unit="seconds",
        bounds=(0, 86_400),
    )
    stale_s: int = setting(
        86_400,
        "How long after its time an answer is given when the web servers fail, where the "
        "application does not say (stale-if-error).",
        unit="seconds",
        bounds=(0, 2_592_000),
    )
    missing_s: int = setting(
        2,
        "How long 404 and 410 are kept, where the application does not say; 0 keeps none.",
        unit="seconds",
        bounds=(0, 3_600),
    )
    cdn: str = setting(
        "",
        "Address of a delivery network in the place of edges of yours: assets and files have URLs "
        "there, and answers say to it what they say to edges.",
        example="https://cdn.photos.example",
    )
    cdn_purge: str = setting(
        "",
        "Where that network is told of purges: a POST as Cloudflare takes it.",
        example="https://api.cloudflare.com/client/v4/zones/ZONE/purge_cache",
    )
    cdn_token: str = setting(
        "",
        "Name of the secret, among those of [app] secrets, that it asks for (Authorization: "
        "Bearer).",
        example="CDN_TOKEN",
    )
    bin: str = setting(
        "",
        "Folder of the program varnishd, when it is not where systems keep it.",
        example="/opt/varnish/sbin",
    )
    log_mib: int = setting(
        16, "How much of the log of each is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("pages", "shared", "around")
    @classmethod
    def _prefixes(cls, value: list[str]) -> list[str]:
        if not all(PREFIX.fullmatch(each) for each in value):
            raise ValueError('beginnings of paths, such as "/explore"')
        return value

    @field_validator("cdn", "cdn_purge")
    @classmethod
    def _network(cls, value: str) -> str:
        if value and not NETWORK.fullmatch(value):
            raise ValueError('an address that begins with https://, such as "https://cdn.example"')
        return value

    @field_validator("bin")
    @classmethod
    def _bin(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("the absolute path of a folder, such as /usr/sbin")
        return value


VARNISH = EngineNeed(
    name="varnishd",
    program="varnishd",
    lowest=7,
    bin_setting="bin",
    version_option="-V",
    install="apt-get install varnish varnish-modules",
)


def delivery(context: Context) -> haproxy_edges.Delivery | None:
    """Answer which requests the balancer sends to edges; None when there are no edges."""
    if not _present(context):
        return None
    edge = context.table("edge", Edge)
    own = (FILES, ASSETS) if context.places.assets_folder else (FILES,)
    return haproxy_edges.Delivery(
        shared=(*own, *edge.shared),
        pages=tuple(edge.pages),
        around=tuple(edge.around),
    )


def origin(context: Context) -> Address:
    """Where the balancer answers edges."""
    return addresses.private(
        context.places.network, haproxy_edges.INDEX, 1, haproxy_edges.ORIGIN_PORT
    )


def served(context: Context, source: str) -> tuple[Server, ...]:
    """The edges as servers of the balancer's pool, which asks them from `source`."""
    return tuple(
        Server(
            unit=_name(number),
            address=_address(context, number),
            backend=haproxy_edges.EDGES,
            options=haproxy_edges.options(source, number),
            reloads=True,
        )
        for number in _numbers(context)
    )


def units(context: Context) -> tuple[Unit, ...]:
    """One unit an edge."""
    return tuple(_unit(context, number) for number in _numbers(context))


def gives(context: Context) -> Mapping[str, Any]:
    """Where purges are sent and what they need; where a delivery network has the assets."""
    edge, places = context.table("edge", Edge), context.places
    if not edge.cdn:
        addressed = (_address(context, number) for number in _numbers(context))
        servers = tuple(Endpoint(host=each.host, port=each.port) for each in addressed)
        return {
            "edge": EdgePlace(servers=servers, secret_file=places.secret(SECRET) if servers else "")
        }
    base_url = edge.cdn.rstrip("/")
    token = dict(places.secret_files).get(edge.cdn_token, "")
    place = EdgePlace(
        base_url=base_url,
        hook=edge.cdn_purge,
        token_file=places.secret(token) if token else "",
    )
    assets = AssetsPlace(folder=places.assets_folder, base_url=base_url + ASSETS)
    return {"edge": place} | ({"assets": assets} if places.assets_folder else {})


def check(context: Context, read: ReadData) -> None:  # noqa: ARG001  # the shape of Check
    """Refuse edges that nothing sends requests to, and a network that is half described."""
    edge = context.table("edge", Edge)
    if _present(context) and "balancer" not in context.tables:
        raise StackFileError(
            cannot="run edges",
            because="the stack has no balancer, which sends requests to them and around them",
            try_="rung = 3, or a table [balancer]",
        )
    if edge.cdn_purge and not edge.cdn:
        raise StackFileError(
            cannot=f"tell {edge.cdn_purge} of purges",
            because="[edge] names no delivery network",
            try_='cdn = "https://cdn.photos.example"',
        )
    if edge.cdn_token and edge.cdn_token not in context.app.secrets:
        raise StackFileError(
            cannot=f"tell {edge.cdn} of purges",
            because=f"[app] secrets has no {edge.cdn_token}",
            try_=f'[app.secrets] {edge.cdn_token} = {{ file = "cdn.token" }}',
        )


def _present(context: Context) -> bool:
    return bool(_numbers(context))


def _numbers(context: Context) -> range:
    """The numbers of the edges; none below their rung, or where a network stands in their place."""
    edge = context.table("edge", Edge)
    own = "edge" in context.distributed and not edge.cdn
    return range(1, edge.servers + 1 if own else 1)


def _name(number: int) -> str:
    return f"edge.{number}"


def _address(context: Context, number: int) -> Address:
    return addresses.private(context.places.network, INDEX, number, PORT)


def _unit(context: Context, number: int) -> Unit:
    edge, places = context.table("edge", Edge), context.places
    address = _address(context, number)
    program = f"{places.engine(VARNISH.name).folder}/varnishd"
    return Unit(
        name=_name(number),
        tier="edge",
        server=f"edge-{number}",
        group=GROUP,
        command=command(program, Process(_name(number), address, edge.memory_mib)),
        environment=(("PATH", f"{places.path}:/usr/sbin"),),
        secret_environment=SECRETS,
        files=(File(path="edge.vcl", content=_file(context)),),
        address=address,
        probe=Probe(
            address=address,
            send=ASK,
            expect=b"HTTP/1.1 200",
            interval_s=ASKED_EVERY_S,
            timeout_s=ANSWER_WITHIN_S,
            within_s=START_WITHIN_S,
            hung_after=HUNG_AFTER,
        ),
        stop=(
            StopStep(signal="SIGTERM", wait_s=STOP_S),
            StopStep(signal="SIGKILL", wait_s=STOP_S),
        ),
        limits=Limits(log_mib=edge.log_mib, open_files=THREADS_MAX * 2 + 256),
    )


@dataclass(frozen=True, slots=True)
class Process:
    """One edge: what it calls itself, where it answers, and its memory in MiB."""

    name: str
    address: Address
    memory_mib: int


def command(program: str, process: Process, folder: str = "{folder}") -> tuple[str, ...]:
    """The command of one edge; its configuration is `folder`/edge.vcl."""
    parameters = {
        "default_ttl": "0",
        "default_grace": "0",
        "thread_pools": "1",
        "thread_pool_min": str(THREADS_MIN),
        "thread_pool_max": str(THREADS_MAX),
        "vsl_space": f"{LOG_MIB}M",
        "vcc_err_unref": "off",
        "http_gzip_support": "off",
        "http_max_hdr": "128",
        "http_req_hdr_len": "16k",
        "http_req_size": "96k",
        "http_resp_hdr_len": "16k",
        "http_resp_size": "96k",
        "workspace_client": "192k",
        "workspace_backend": "192k",
    }
    in_flight = max(IN_FLIGHT_MIB, process.memory_mib // IN_FLIGHT_SHARE)
    return (
        *(program, "-F", "-j", "none", "-T", "none"),
        *("-n", f"{folder}/work", "-i", process.name),
        *("-a", str(process.address), "-f", f"{folder}/edge.vcl"),
        *("-s", f"malloc,{process.memory_mib}m", "-s", f"Transient=malloc,{in_flight}m"),
        *(part for name, value in parameters.items() for part in ("-p", f"{name}={value}")),
    )


def _file(context: Context) -> str:
    edge = context.table("edge", Edge)
    balancer = context.tables.get("balancer")
    rules = varnish.Rules(
        origin=origin(context),
        answer_s=getattr(balancer, "answer_s", 60),
        revalidate_s=edge.revalidate_s,
        stale_s=edge.stale_s,
        missing_s=edge.missing_s,
        object_mib=edge.object_mib,
        versioned=ASSETS if context.places.assets_folder else "",
    )
    return varnish.configuration(rules)


TIER = Tier(
    name="edge",
    index=INDEX,
    rung=RUNG,
    settings=Edge,
    units=units,
    gives=gives,
    check=check,
    needs=(VARNISH,),
    secrets=(SECRET,),
    distributed=RUNG,
)
