"""Consensus: the few servers that agree on who leads, so that there is never more than one primary.

Runs: `etcd`, three members, each on a private address; certificates for clients and peers.
Gives: nothing to the directory; tiers whose servers have a leader ask for `service`.
Source: etcd 3.4's operations guide; the intervals that were measured with failovers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from millions.errors import DataRefusedError
from millions.model import Address, Certificate, Limits, Preparation, Probe, StopStep, Unit
from millions.settings import Table, setting
from millions.tiers import addresses
from millions.tiers.kind import Context, EngineNeed, ReadData, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX = 9
CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381
"""Without TLS, for /health and /metrics only: it holds no key and answers this machine alone."""

MEMBERS = (1, 3, 5)
"""Odd: a fourth member would bear no more deaths than three do."""

SERVER_CERTIFICATE = "consensus"
CLIENT_CERTIFICATE = "consensus-client"
PEERS_COME_FROM = "127.0.0.1"
"""Members compare the address that a peer comes from with its certificate; on this machine's own
network nobody binds it."""

GROUP = "consensus"
HEARTBEAT_MS = 100
ELECTION_MS = 1_000
READY_WITHIN_S = 60.0
STOP_S = 2.0
"""Members that stop together wait in vain for each other to lead; a kill loses nothing."""
KILLED_WITHIN_S = 5.0
ASK_HEALTH = b"GET /health HTTP/1.1\r\nHost: millions\r\nConnection: close\r\n\r\n"

REMEMBER_MEMBERS = 'printf "%s\\n" "$1" >"$0"'
"""Run by sh once: the number of members, with which the data folder is made."""


class Consensus(Table):
    """Who leads: etcd."""

    members: int = setting(
        3,
        "How many servers agree: 3 go on when one is lost, 5 when two are; 1 is for trying out.",
        bounds=(MEMBERS[0], MEMBERS[-1]),
    )
    log_mib: int = setting(
        16, "How much of the log of each is kept on the disk.", unit="MiB", bounds=(1, 10_240)
    )

    @field_validator("members")
    @classmethod
    def _members(cls, value: int) -> int:
        if value not in MEMBERS:
            raise ValueError("1, 3 or 5: an even number bears no more deaths than one less")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How another tier reaches it. The files are paths with placeholders of a unit."""

    servers: tuple[Address, ...]
    group: str = GROUP
    ca: str = "{secrets}/ca.pem"
    certificate: str = f"{{secrets}}/{CLIENT_CERTIFICATE}.pem"
    key_file: str = f"{{secrets}}/{CLIENT_CERTIFICATE}.key"


ETCD = EngineNeed(name="etcd", program="etcd", lowest=3, install="apt-get install etcd-server")

PATRONI = EngineNeed(
    name="patroni", program="patroni", lowest=4, install="pip install 'millions[replicated]'"
)
"""What the servers that have a leader are run by."""


def service(context: Context) -> Service | None:
    """Answer how the stack's consensus is reached; None when it has none."""
    if "consensus" not in context.tables:
        return None
    return Service(servers=tuple(_address(context, n, CLIENT_PORT) for n in _numbers(context)))


def units(context: Context) -> tuple[Unit, ...]:
    """One unit a member."""
    return tuple(_unit(context, number) for number in _numbers(context))


def check(context: Context, read: ReadData) -> None:
    """Refuse another number of members than the data folders were made for."""
    wanted = context.table("consensus", Consensus).members
    found = (read("consensus.1", "members") or "").strip()
    if found and found != str(wanted):
        raise DataRefusedError(
            cannot=f"run {wanted} members of the consensus",
            because=f"its data was made for {found}",
            try_=f"[consensus] members = {found}",
        )


def gives(context: Context) -> Mapping[str, Any]:  # noqa: ARG001  # the shape of Gives
    """Nothing: applications never ask it."""
    return {}


def certificates(context: Context) -> tuple[Certificate, ...]:
    """One for the members among themselves and for clients, one for who asks them."""
    hosts = tuple(_address(context, number, CLIENT_PORT).host for number in _numbers(context))
    return (
        Certificate(name=SERVER_CERTIFICATE, hosts=(*hosts, PEERS_COME_FROM)),
        Certificate(name=CLIENT_CERTIFICATE),
    )


def _numbers(context: Context) -> range:
    return range(1, context.table("consensus", Consensus).members + 1)


def _address(context: Context, number: int, port: int) -> Address:
    return addresses.private(context.places.network, INDEX, number, port)


def _name(number: int) -> str:
    return f"consensus.{number}"


def _unit(context: Context, number: int) -> Unit:
    consensus, places = context.table("consensus", Consensus), context.places
    client = _address(context, number, CLIENT_PORT)
    return Unit(
        name=_name(number),
        tier="consensus",
        server=f"consensus-{number}",
        group=GROUP,
        group_least=consensus.members // 2 + 1,
        command=(f"{places.engine(ETCD.name).folder}/etcd", *_flags(context, number)),
        environment=(("PATH", places.path), ("GOMAXPROCS", "2")),
        address=client,
        probe=Probe(
            address=Address(host=client.host, port=METRICS_PORT),
            send=ASK_HEALTH,
            expect=b"HTTP/1.1 200",
            within_s=READY_WITHIN_S,
        ),
        prepare=(
            Preparation(
                name="remember",
                command=(
                    *("/bin/sh", "-c", REMEMBER_MEMBERS),
                    *("{data}/members", str(consensus.members)),
                ),
                key=f"members {consensus.members}",
            ),
        ),
        stop=(
            StopStep(signal="SIGTERM", wait_s=STOP_S),
            StopStep(signal="SIGKILL", wait_s=KILLED_WITHIN_S),
        ),
        holds_data=True,
        limits=Limits(log_mib=consensus.log_mib),
    )


def _flags(context: Context, number: int) -> tuple[str, ...]:
    client, peer = (_address(context, number, port) for port in (CLIENT_PORT, PEER_PORT))
    cluster = ",".join(
        f"{_name(each)}=https://{_address(context, each, PEER_PORT)}" for each in _numbers(context)
    )
    values = {
        "name": _name(number),
        "data-dir": "{data}/etcd",
        "listen-client-urls": f"https://{client}",
        "advertise-client-urls": f"https://{client}",
        "listen-peer-urls": f"https://{peer}",
        "initial-advertise-peer-urls": f"https://{peer}",
        "initial-cluster": cluster,
        "initial-cluster-state": "new",
        "initial-cluster-token": context.app.name,
        "listen-metrics-urls": f"http://{client.host}:{METRICS_PORT}",
        "client-cert-auth": "true",
        "peer-client-cert-auth": "true",
        "heartbeat-interval": str(HEARTBEAT_MS),
        "election-timeout": str(ELECTION_MS),
        "auto-compaction-retention": "1",
        "logger": "zap",
        "log-outputs": "stderr",
        "log-level": "warn",
    }
    for prefix in ("", "peer-"):
        values[f"{prefix}trusted-ca-file"] = "{secrets}/ca.pem"
        values[f"{prefix}cert-file"] = f"{{secrets}}/{SERVER_CERTIFICATE}.pem"
        values[f"{prefix}key-file"] = f"{{secrets}}/{SERVER_CERTIFICATE}.key"
    return tuple(f"--{name}={value}" for name, value in values.items())


TIER = Tier(
    name="consensus",
    index=INDEX,
    rung=4,
    settings=Consensus,
    units=units,
    gives=gives,
    check=check,
    needs=(ETCD, PATRONI),
    certificates=certificates,
    pause_s=0.5,
)
