"""Queue: the message broker that spreads events to every process that wants to hear of them.

Runs: `nats-server`, one, or three that are one cluster; a password for clients, certificates among
themselves. It keeps nothing on disk: tasks are rows in the database, whatever becomes of it.
Gives: `queue` of the directory: where the members are.
Source: NATS server 2.15, its configuration file; clusters of three as its documentation has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.directory import Endpoint, QueuePlace
from millions.model import Address, Certificate, File, Limits, Probe, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses
from millions.tiers.kind import Context, EngineNeed, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 18
PORT = 4222
PEER_PORT = 6222
GROUP = "queue"
MEMBERS = (1, 3)
USER = "millions"
SECRET = "queue"  # noqa: S105  # the name of a file
CERTIFICATE = "queue"
PASSWORD_VARIABLE = "MILLIONS_QUEUE_PASSWORD"  # noqa: S105  # the name of a variable

QUOTED = f'{PASSWORD_VARIABLE}="\\"${PASSWORD_VARIABLE}\\""; export {PASSWORD_VARIABLE}; exec "$@"'
"""Run by sh: NATS reads a variable as a value of its configuration, where 3e5 would be a number."""

STOP_S = 5.0
KILLED_WITHIN_S = 5.0
READY_WITHIN_S = 30.0
PAYLOAD_BYTES_MAX = 65_536
"""An event is at most 7,000 bytes; more is nothing of ours."""


class Queue(Table):
    """The message queue: NATS."""

    members: int = setting(
        1,
        "How many servers it has: 1, or 3, which go on when one is lost. Events are told through "
        "the database while none answers.",
        bounds=(MEMBERS[0], MEMBERS[-1]),
    )
    connections: int = setting(
        1_024,
        "How many processes may be connected to each of them.",
        unit="connections",
        bounds=(16, 65_536),
    )
    log_mib: int = setting(
        16, "How much of the log of each is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("members")
    @classmethod
    def _members(cls, value: int) -> int:
        if value not in MEMBERS:
            raise ValueError("1 or 3: two are lost as soon as one is")
        return value


NATS = EngineNeed(
    name="nats", program="nats-server", lowest=2, install="pip install 'millions[queued]'"
)


def units(context: Context) -> tuple[Unit, ...]:
    """One unit a member."""
    return tuple(_unit(context, number) for number in _numbers(context))


def gives(context: Context) -> Mapping[str, Any]:
    """Where the members are, and as whom one connects."""
    servers = tuple(
        Endpoint(host=address.host, port=address.port)
        for address in (_address(context, number, PORT) for number in _numbers(context))
    )
    return {
        "queue": QueuePlace(servers=servers, user=USER, password_file=context.places.secret(SECRET))
    }


def certificates(context: Context) -> tuple[Certificate, ...]:
    """One that the members show each other."""
    if len(_numbers(context)) == 1:
        return ()
    hosts = tuple(_address(context, number, PEER_PORT).host for number in _numbers(context))
    return (Certificate(name=CERTIFICATE, hosts=hosts),)


def _numbers(context: Context) -> range:
    return range(1, context.table("queue", Queue).members + 1)


def _address(context: Context, number: int, port: int) -> Address:
    return addresses.private(context.places.network, INDEX, number, port)


def _unit(context: Context, number: int) -> Unit:
    queue, places = context.table("queue", Queue), context.places
    address = _address(context, number, PORT)
    program = f"{places.engine(NATS.name).folder}/{NATS.program}"
    return Unit(
        name=f"queue.{number}",
        tier="queue",
        server=f"queue-{number}",
        group=GROUP,
        command=("/bin/sh", "-c", QUOTED, "sh", program, "-c", "{folder}/nats.conf"),
        environment=(("PATH", places.path), ("GOMAXPROCS", "2")),
        secret_environment=((PASSWORD_VARIABLE, SECRET),),
        files=(File(path="nats.conf", content=_configuration(context, number)),),
        address=address,
        probe=Probe(address=address, expect=b"INFO ", within_s=READY_WITHIN_S),
        stop=(
            StopStep(signal="SIGTERM", wait_s=STOP_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        limits=Limits(open_files=queue.connections + 256, log_mib=queue.log_mib),
    )


def _configuration(context: Context, number: int) -> str:
    """The configuration file of one member. Passwords stay in the environment."""
    queue = context.table("queue", Queue)
    lines = [
        f'server_name: "queue.{number}"',
        f'listen: "{_address(context, number, PORT)}"',
        f'authorization {{ user: "{USER}", password: ${PASSWORD_VARIABLE}, timeout: 2 }}',
        f"max_connections: {queue.connections}",
        f"max_payload: {PAYLOAD_BYTES_MAX}",
        "max_pending: 8388608",
        'write_deadline: "2s"',
        'ping_interval: "2s"',
        "ping_max: 2",
        "logtime: false",
    ]
    others = [each for each in _numbers(context) if each != number]
    if others:
        routes = ", ".join(f'"tls://{_address(context, each, PEER_PORT)}"' for each in others)
        own = f"{{secrets}}/{CERTIFICATE}"
        authority = 'ca_file: "{secrets}/ca.pem", verify: true, timeout: 5'
        lines += [
            "cluster {",
            f'  name: "{context.app.name}"',
            f'  listen: "{_address(context, number, PEER_PORT)}"',
            f"  routes: [{routes}]",
            f'  tls {{ cert_file: "{own}.pem", key_file: "{own}.key", {authority} }}',
            "  connect_retries: 30",
            "}",
        ]
    return "\n".join(lines) + "\n"


TIER = Tier(
    name="queue",
    index=INDEX,
    rung=9,
    settings=Queue,
    units=units,
    gives=gives,
    needs=(NATS,),
    secrets=(SECRET,),
    certificates=certificates,
)
