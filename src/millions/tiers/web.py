"""Web: the application itself, behind its public address, or several times behind a balancer.

Runs: `python -m millions.sdk.server`, one process a server; a new revision takes the socket over.
Gives: `web` and `assets` of the directory.
Source: the inherited listening socket of nginx's and gunicorn's upgrades.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.directory import AssetsPlace, WebPlace
from millions.errors import StackFileError
from millions.model import Address, Limits, Preparation, Probe, StopStep, Unit
from millions.reconcile.scaling import Rule
from millions.settings import Table, setting
from millions.tiers import addresses, numbers
from millions.tiers.kind import Canary, Context, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millions.tiers.numbers import Numbers

INDEX = 1
GROUP = "web"
SERVERS_MAX = 200
"""Their addresses end in 1 to 200."""

SERVERS = 2
"""How many there are behind a balancer where the stack file does not say."""

SCALED_RUNG = 7
"""From which rung on their number follows the load where the stack file does not say otherwise."""

SERVED_PORT = 8000
"""Where a web server answers behind a balancer."""

PRIVATE_PORT = 9000
"""For /metrics and /readyz, with and without a balancer; the next port is for the revision that
takes over."""

BESIDE_POOL = 8
"""Connections of a web process to the database beside its pool: raw ones, listeners, a monitor."""

AFTER_DRAIN_S = 10.0
"""What the shutdown of the application's own lifespan may take after the last request."""

KILLED_WITHIN_S = 5.0
ASK_READINESS = b"GET /readyz HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"


class Web(Table):
    """The web server, which runs your application."""

    listen: str = setting(
        "127.0.0.1:8000",
        "Address and port that people connect to; 0.0.0.0 stands for every address of this server.",
    )
    servers: int = setting(
        SERVERS,
        "How many web servers share the requests. More than one needs a balancer; without it there "
        "is one. Where their number follows the load, how many there are at first.",
        unit="servers",
        bounds=(1, SERVERS_MAX),
    )
    servers_min: int = setting(
        SERVERS,
        "The fewest web servers that there may be, where their number follows the load.",
        unit="servers",
        bounds=(1, SERVERS_MAX),
    )
    servers_max: int = setting(
        0,
        "The most web servers that there may be; their number follows the load then. 0: it does "
        f"not. From rung {SCALED_RUNG} on it does, up to {numbers.MOST_AT_FIRST}, where this is "
        "not said.",
        unit="servers",
        bounds=(0, SERVERS_MAX),
    )
    server_requests: int = setting(
        16,
        "How many requests, WebSockets and event streams included, a web server is meant to have "
        "under way. More bring more servers, where their number follows the load.",
        unit="requests",
        bounds=(1, 10_000),
    )
    servers_idle_s: int = setting(
        60,
        "How long fewer web servers would have been enough before one is taken away.",
        unit="seconds",
        bounds=(5, 86_400),
    )
    canary_percent: int = setting(
        10,
        "Share of the requests that a new release answers first, on one web server; at most its "
        "even share.",
        unit="percent",
        bounds=(1, 50),
    )
    canary_s: int = setting(
        10,
        "How long that lasts. Its errors and its latency are compared with the others' meanwhile; "
        "0 leaves it out.",
        unit="seconds",
        bounds=(0, 3_600),
    )
    secure: bool = setting(
        default=False,
        sentence="Whether people reach it by HTTPS (something before it ends TLS), so that cookies "
        "are sent over HTTPS only.",
    )
    max_body_mib: int = setting(
        64, "The largest request that is accepted.", unit="MiB", bounds=(1, 10_240)
    )
    start_within_s: int = setting(
        60,
        "How long a new release may take until it is ready; one that takes longer has failed.",
        unit="seconds",
        bounds=(1, 3_600),
    )
    drain_s: int = setting(
        30,
        "How long requests in flight may go on after a newer release has taken over.",
        unit="seconds",
        bounds=(1, 3_600),
    )
    open_files: int = setting(
        8_192,
        "How many files and connections the web process may have open.",
        bounds=(256, 1_048_576),
    )
    log_mib: int = setting(
        64, "How much of its log is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        addresses.listen(value)
        return value


def units(context: Context) -> tuple[Unit, ...]:
    """One web process, or all that there may be behind a balancer."""
    if not _balanced(context):
        public = addresses.listen(context.table("web", Web).listen)
        return (_unit(context, 1, public),)
    return tuple(
        _unit(context, number, address)
        for number, address in enumerate(served(context).values(), start=1)
    )


def served(context: Context) -> dict[str, Address]:
    """Where each web server that there may be answers behind a balancer, by its unit's name."""
    network = context.places.network
    return {
        unit_name(number): addresses.private(network, INDEX, number, SERVED_PORT)
        for number in range(1, counted(context).most + 1)
    }


def counted(context: Context) -> Numbers:
    """Answer how many web servers there are to be behind a balancer."""
    return numbers.numbers(context, "web", context.table("web", Web))


def unit_name(number: int) -> str:
    """Answer the name of the unit on this server."""
    return f"web.{number}"


def check(context: Context, read: ReadData) -> None:  # noqa: ARG001  # the shape of Check
    """Refuse web servers that nothing shares the requests among, or too many for the database."""
    web, most = context.table("web", Web), counted(context).most
    numbers.check("web", web)
    if most == 1:
        return
    if _balanced(context):
        _check_connections(context, most)
    elif {"servers", "servers_max"} & web.model_fields_set:
        raise StackFileError(
            cannot=f"run {most} web servers",
            because="nothing before them shares the requests: the stack has no balancer",
            try_="rung = 3, or " + ("servers_max = 0" if web.servers_max else "servers = 1"),
        )


def _check_connections(context: Context, servers: int) -> None:
    """One more than `servers` run while a release takes over."""
    database = context.tables.get("database")
    most: int = getattr(database, "connections", 0)
    each: int = getattr(database, "pool_connections", 0) + BESIDE_POOL
    if database is not None and (servers + 1) * each > most:
        raise StackFileError(
            cannot=f"run {servers} web servers",
            because=f"they and one more during a deploy may open {servers + 1} times {each} "
            f"connections, and the database accepts {most}",
            try_=f"[database] connections = {(servers + 1) * each}, or a smaller pool_connections",
        )


def canary(context: Context) -> Canary | None:
    """The first web server shows what a release does, where there are others to compare it with."""
    web = context.table("web", Web)
    if not _balanced(context) or counted(context).most == 1 or not web.canary_s:
        return None
    return Canary(unit=unit_name(1), percent=web.canary_percent, for_s=float(web.canary_s))


def scaling(context: Context) -> Rule | None:
    """Their number follows the requests that are under way at the balancer, where it may."""
    web, found = context.table("web", Web), counted(context)
    if not _balanced(context) or not found.follows:
        return None
    return Rule(
        group=GROUP,
        least=found.least,
        most=found.most,
        first=found.first,
        target=float(web.server_requests),
        idle_s=float(web.servers_idle_s),
        release=context.places.release,
    )


def _balanced(context: Context) -> bool:
    return "balancer" in context.tables


def _unit(context: Context, number: int, public: Address) -> Unit:
    web, app, places = context.table("web", Web), context.app, context.places
    private = addresses.private(places.network, INDEX, number, PRIVATE_PORT)
    return Unit(
        name=unit_name(number),
        tier="web",
        server=f"web-{number}",
        group=GROUP,
        command=(places.python, "-m", "millions.sdk.server", app.web),
        environment=_environment(context),
        secret_environment=places.secret_files,
        working_folder=places.release_folder,
        address=private,
        public=(public,),
        probe=_probe(private, web),
        prepare=_migration(context),
        stop=(
            StopStep(signal="SIGTERM", wait_s=web.drain_s + AFTER_DRAIN_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        needs=("database",),
        handover=True,
        release=places.release,
        limits=Limits(open_files=web.open_files, log_mib=web.log_mib),
    )


def gives(context: Context) -> Mapping[str, Any]:
    """How it answers, and where the built assets are."""
    web = context.table("web", Web)
    return {
        "web": WebPlace(secure=web.secure, max_body_mib=web.max_body_mib),
        "assets": AssetsPlace(folder=context.places.assets_folder),
    }


def _environment(context: Context) -> tuple[tuple[str, str], ...]:
    web, app, places = context.table("web", Web), context.app, context.places
    own = {
        "PATH": places.path,
        "PYTHONPATH": places.release_folder,
        "PYTHONUNBUFFERED": "1",
        "MILLIONS_TASKS": app.tasks,
        "MILLIONS_DRAIN_S": str(web.drain_s),
        "MILLIONS_STARTED_WITH": context.started_with,
    }
    return tuple({**own, **app.environment}.items())


def _probe(private: Address, web: Web) -> Probe:
    return Probe(
        address=private,
        send=ASK_READINESS,
        expect=b"HTTP/1.1 200",
        within_s=float(web.start_within_s),
    )


def _migration(context: Context) -> tuple[Preparation, ...]:
    app = context.app
    if not app.migrate:
        return ()
    command = tuple(shlex.split(app.migrate))
    key = f"{context.places.release} {app.migrate}"
    return (
        Preparation(
            name="migrate",
            command=command,
            key=key,
            timeout_s=float(app.migrate_within_s),
            shared=True,
        ),
    )


TIER = Tier(
    name="web",
    index=INDEX,
    rung=1,
    settings=Web,
    units=units,
    check=check,
    gives=gives,
    canary=canary,
    secrets=("signing",),
    scaling=scaling,
    scaled=SCALED_RUNG,
)
